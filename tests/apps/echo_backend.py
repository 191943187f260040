"""Prints and answers what apps say; some words make it raise, notify or broadcast."""

import be


class AppBE:
    def __init__(self, ctx):
        be.event_register({'event_type': be.FE, 'callback': self.message})

    def message(self, ctx):
        print(ctx.ident, 'SYNC' if ctx.sync == be.SYNC else 'ASYNC', ctx.message[:40], flush=True)
        if ctx.message == 'raise':
            raise ValueError('as asked')
        if ctx.message == 'notify me':
            be.notify(ctx.ident, 'for you')
        if ctx.message == 'tell all':
            be.broadcast('for all')
        return 'echo ' + ctx.message

    def shutdown(self):
        print('backend shutdown')
