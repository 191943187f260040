"""Registers the kinds of events that its metadata lists, as soon as the guest can be watched, and prints each
event.
"""

import fe


class App:
    def __init__(self, ctx):
        self.kinds = ctx['metadata'].split()
        self.timer = fe.event_register({'event_type': fe.TIMER, 'time_value': 0.1, 'callback': self.register})

    def register(self, _):
        # A guest that boots has no kernel to be watched yet.
        while self.kinds:
            name, _, number = self.kinds[0].partition(':')
            wanted = {'event_type': getattr(fe, name), 'callback': self.tell}
            if number:
                wanted['number'] = number
            try:
                fe.event_register(wanted)
            except Exception as error:
                print('not yet', str(error)[:100], flush=True)
                return
            del self.kinds[0]
        fe.event_clear(self.timer)
        fe.events_start()
        print('watching', flush=True)

    def tell(self, event):
        print('event', flush=True)
