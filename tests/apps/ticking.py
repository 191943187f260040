"""Prints a line every 0.2 s, and one when it ends."""

import fe


class App:
    def __init__(self, ctx):
        self.name = fe.get_name()
        print('up', flush=True)
        fe.event_register({'event_type': fe.TIMER, 'time_value': 0.2, 'callback': self.tick})

    def tick(self, ctx):
        if ctx == 'timer triggered':
            print('tick', flush=True)

    def shutdown(self):
        print('cleaned up', flush=True)
