"""Looks for what a rootkit leaves in the kernel, from where it can't see the look:

- tasks that are in the table of pids but not in the task list (or the other way round),
- entries of the system call table that lead out of the kernel's text, or changed since the first look,
- pages of the kernel's text that changed since the first look.

    furnace app -c apps/rootkit_check/app --u2 check --vmi DIR --fac DIR [--md once]

The first look is kept in FAC's storage. Findings are printed and sent to the backend as JSON, every 10
seconds; with metadata 'once' it looks once and ends. A kernel also patches its own text, when tracing is
turned on for example: a changed page is a reason to look, not a proof.
"""

import hashlib
import json
import struct

import furnace_linux

import fe

PAGE = 4096
CHUNK = 1 << 20  # bytes of text read at once
TABLE = 'syscall_table'
TEXT = 'kernel_text'


class App:
    def __init__(self, ctx):
        self.start, self.end = fe.checked.lookup_symbol('_stext'), fe.checked.lookup_symbol('_etext')
        self.once = ctx['metadata'] == 'once'
        self.look('first')
        if self.once:
            fe.exit()
        fe.event_register({'event_type': fe.TIMER, 'time_value': 10.0, 'callback': self.look})

    def look(self, _):
        # Lists are compared with each other: the guest is paused while they are read.
        fe.checked.pause_vm()
        try:
            findings = list(self.hidden_tasks())
            table, text = self.read_table(), self.read_text()
        finally:
            fe.checked.resume_vm()
        findings += [*self.hooked_syscalls(table), *self.changed_text(text)]
        for finding in findings:
            print(json.dumps(finding))
            if not self.once:
                fe.notify(json.dumps(finding))
        print(f'{len(findings)} findings')

    def hidden_tasks(self):
        listed = {task.tgid: int(task) for task in fe.tasks()}
        known = furnace_linux.pid_table()
        for pid in sorted(known.keys() - listed.keys()):
            yield {
                'finding': 'task not in the task list',
                'pid': pid,
                'name': fe.struct('task_struct', known[pid]).comm,
            }
        for pid in sorted(listed.keys() - known.keys()):
            yield {
                'finding': 'task not in the table of pids',
                'pid': pid,
                'name': fe.struct('task_struct', listed[pid]).comm,
            }

    def read_table(self):
        """The system calls' functions, as distances from the start of the text: KASLR moves both."""
        address = fe.checked.lookup_symbol('sys_call_table')
        count = furnace_linux.syscall_count()
        entries = struct.unpack(f'<{count}Q', fe.checked.read_va(address, 0, 8 * count))
        return [entry - self.start for entry in entries]

    def read_text(self):
        """A hash for each page of the text."""
        hashes = []
        for at in range(self.start, self.end, CHUNK):
            data = fe.checked.read_va(at, 0, min(CHUNK, self.end - at))
            hashes += [
                hashlib.blake2b(data[i : i + PAGE], digest_size=8).hexdigest()
                for i in range(0, len(data), PAGE)
            ]
        return hashes

    def hooked_syscalls(self, table):
        before = self.first_seen(TABLE, ' '.join(map(str, table))).split()
        for number, (now, then) in enumerate(zip(table, map(int, before))):
            where = {'number': number, 'address': hex(self.start + now)}
            if not 0 <= now < self.end - self.start:
                yield {'finding': 'system call leads out of the kernel', **where}
            elif now != then:
                yield {'finding': 'system call changed', **where}

    def changed_text(self, hashes):
        before = self.first_seen(TEXT, ' '.join(hashes)).split()
        for page, (now, then) in enumerate(zip(hashes, before)):
            if now != then:
                yield {'finding': 'kernel text changed', 'address': hex(self.start + page * PAGE)}

    def first_seen(self, key, now):
        """What was there at the first look, which this may be."""
        try:
            return fe.io_get(key)
        except fe.VmiError:
            fe.io_set(key, now)
            return now
