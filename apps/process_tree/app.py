"""Shows the VM's process tree as it grows and shrinks, by events: nothing that lives shortly is missed.

Prints a line for each process that is created, executes a program or ends, indented by its depth. metadata:
seconds to run (default 10).
"""

import fe


class App:
    def __init__(self, ctx):
        fe.set_name('process_tree')
        self.parents = {task.tgid: task.real_parent.deref().tgid for task in fe.tasks()}
        for kind, callback in (
            (fe.PROCESS_CREATED, self.created),
            (fe.PROCESS_EXECUTED, self.executed),
            (fe.PROCESS_EXITED, self.ended),
        ):
            fe.event_register({'event_type': kind, 'callback': callback})
        fe.events_start()
        fe.event_register(
            {
                'event_type': fe.TIMER,
                'time_value': float(ctx['metadata'] or 10),
                'callback': lambda ctx: fe.exit(),
            }
        )

    def line(self, pid, text):
        depth, parent = 0, self.parents.get(pid, 0)
        while parent in self.parents and depth < 32:
            depth, parent = depth + 1, self.parents[parent]
        print(f'{"  " * depth}{pid} {text}', flush=True)

    def created(self, event):
        self.parents[event.subject_pid] = event.subject_ppid
        self.line(event.subject_pid, f'+ {event.subject_name}')

    def executed(self, event):
        self.line(event.pid, f'= {event.path}')

    def ended(self, event):
        signal, status = event.exit_status & 0x7F, event.exit_status >> 8 & 0xFF
        self.line(event.pid, f'- {event.procname} ' + (f'by signal {signal}' if signal else f'with {status}'))
        self.parents.pop(event.pid, None)
