"""Prints calls of sethostname, and programs that are executed."""

import fe


class App:
    def __init__(self, ctx):
        for wanted in (
            {'event_type': fe.SYSCALL, 'number': 'sethostname'},
            {'event_type': fe.PROCESS_EXECUTED},
        ):
            fe.event_register(dict(wanted, callback=self.tell))
        fe.events_start()
        print('watching', flush=True)

    def tell(self, event):
        print('event', 'SYSCALL' if event.type == fe.SYSCALL else 'PROCESS_EXECUTED', event.vcpu, flush=True)
