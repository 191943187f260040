"""Prints what apps say, and answers them."""

import be


class AppBE:
    def __init__(self, ctx):
        be.event_register({'event_type': be.FE, 'callback': self.message})

    def message(self, ctx):
        print(ctx.ident, ctx.message, flush=True)
        return 'heard ' + ctx.message
