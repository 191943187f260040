"""Prints the alarms of the privilege watch as they are."""

import be


class AppBE:
    def __init__(self, ctx):
        be.event_register({'event_type': be.FE, 'callback': lambda ctx: print(ctx.message, flush=True)})
