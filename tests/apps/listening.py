"""Asks the backend for messages all the time, and prints them."""

import fe


class App:
    def __init__(self, ctx):
        fe.event_register({'event_type': fe.BE, 'callback': self.message})
        fe.event_register({'event_type': fe.TIMER, 'time_value': 0.1, 'callback': self.tick})

    def tick(self, ctx):
        fe.notify('tell all')
        fe.notify('notify me')

    def message(self, ctx):
        print(ctx.type, ctx.message)
