"""Sends durable messages, messages that are sent once, and requests, until the backend says something; then
prints how many.
"""

import json

import fe


class App:
    def __init__(self, ctx):
        self.next = self.once = self.asked = self.answered = 0
        fe.event_register({'event_type': fe.TIMER, 'time_value': 0.01, 'callback': self.tick})
        fe.event_register({'event_type': fe.BE, 'callback': self.end})

    def tick(self, ctx):
        if fe.notify(f'durable {self.next}', durable=True):
            self.next += 1
        self.once += fe.notify(f'once {self.next}')
        if self.next % 20 == 0:
            self.asked += 1
            try:
                fe.request('question', timeout=2)
                self.answered += 1
            except fe.VmiError:
                pass

    def end(self, ctx):
        print(json.dumps([self.next, self.once, self.asked, self.answered]), flush=True)
        fe.exit()
