"""Lists the VM's processes, then sends the backend each that appears or exits.

Messages to the backend are JSON lines: {'kind': 'table', 'processes': [...]} once, then {'kind':
'appeared'|'ended', 'process': {...}}. metadata: seconds between two looks (default 0.5).
"""

import json

import fe

PF_KTHREAD = 0x00200000  # include/linux/sched.h


class App:
    def __init__(self, ctx):
        fe.set_name('process_watch')
        self.known = None
        self.offsets = {}
        fe.event_register(
            {'event_type': fe.TIMER, 'time_value': float(ctx['metadata'] or 0.5), 'callback': self.look}
        )

    def offset(self, structure, member):
        """A member's offset; asked for once, retried while the guest boots."""
        if (structure, member) not in self.offsets:
            self.offsets[structure, member] = fe.checked.lookup_structure(structure, member)
        return self.offsets[structure, member]

    def describe(self, pid, entry):
        """What the process list does not tell is read from the task structure."""
        task = entry['process_block_ptr']
        parent = fe.read_addr_va(task + self.offset('task_struct', 'real_parent'), fe.KERNEL)
        cred = fe.read_addr_va(task + self.offset('task_struct', 'real_cred'), fe.KERNEL)
        flags = fe.read_32_va(task + self.offset('task_struct', 'flags'), fe.KERNEL)
        return {
            'pid': pid,
            'ppid': fe.read_32_va(parent + self.offset('task_struct', 'tgid'), fe.KERNEL),
            'uid': fe.read_32_va(cred + self.offset('cred', 'uid'), fe.KERNEL),
            'name': entry['name'],
            'kernel_thread': bool(flags & PF_KTHREAD),
            'task': task,
        }

    def look(self, ctx):
        try:
            processes = fe.checked.process_list()
            # A pid that comes back with another task is another process.
            now = {(pid, entry['process_block_ptr']): entry for pid, entry in processes.items()}
            if self.known is None:
                self.known = {key: self.describe(key[0], entry) for key, entry in now.items()}
                self.tell({'kind': 'table', 'processes': list(self.known.values())})
                return
            for key in self.known.keys() - now.keys():
                self.tell({'kind': 'ended', 'process': self.known.pop(key)})
            for key in sorted(now.keys() - self.known.keys()):
                self.known[key] = self.describe(key[0], now[key])
                self.tell({'kind': 'appeared', 'process': self.known[key]})
        except fe.VmiError as error:
            fe.log(f'no look this time: {error}')

    def tell(self, message):
        fe.notify(json.dumps(message))
