"""Sends its backend a message that must arrive, and asks it something."""

import fe


class App:
    def __init__(self, ctx):
        fe.notify('must arrive', durable=True)
        print(fe.request('hello', timeout=10))
        fe.exit()
