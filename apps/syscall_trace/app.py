"""Prints system calls as strace does, without being in the VM.

metadata: JSON {'pid': 0, 'uid': null, 'number': null, 'seconds': 10}: whose calls (0 and null: of any
process), which (a name or a number; null: all), and how long.
"""

import errno
import json

import fe

_MAX_ERRNO = 4095  # include/linux/err.h


def shown(name, value):
    if isinstance(value, str):
        return json.dumps(value)
    if name in ('dirfd', 'olddirfd', 'newdirfd') and value & 0xFFFFFFFF == 0xFFFFFF9C:
        return 'AT_FDCWD'
    if name in ('flags', 'mode', 'prot'):
        return hex(value & 0xFFFFFFFF)
    return str(value) if value < 1 << 20 else hex(value)


def outcome(value):
    if -_MAX_ERRNO <= value < 0:
        return f'-1 {errno.errorcode.get(-value, -value)}'
    return str(value) if value < 1 << 20 else hex(value)


class App:
    def __init__(self, ctx):
        fe.set_name('syscall_trace')
        options = {
            'pid': 0,
            'uid': None,
            'number': None,
            'seconds': 10,
            **json.loads(ctx['metadata'] or '{}'),
        }
        self.entered = {}  # thread -> the line that waits for its return
        fe.event_register(
            {
                'event_type': fe.SYSCALL,
                'pid': options['pid'],
                'uid': options['uid'],
                'number': options['number'],
                'returns': True,
                'callback': self.tell,
            }
        )
        fe.events_start()
        fe.event_register(
            {'event_type': fe.TIMER, 'time_value': float(options['seconds']), 'callback': self.end}
        )

    def tell(self, event):
        if event.lost:
            print(f'... {event.lost} events lost')
        if event.is_return:
            print(self.entered.pop(event.tid, event.name) + f' = {outcome(event.return_value)}', flush=True)
            return
        call = f'{event.name}({", ".join(shown(name, value) for name, value in event.arguments.items())})'
        self.entered[event.tid] = f'{event.pid:>6} {event.procname:<15} {call}'
        if event.name in ('exit', 'exit_group'):
            print(self.entered.pop(event.tid) + ' = ?', flush=True)

    def end(self, ctx):
        for line in self.entered.values():
            print(line + ' <unfinished>')
        fe.exit()
