"""Prints what the file open monitor tells."""

import json

import be


class AppBE:
    def __init__(self, ctx):
        be.event_register({'event_type': be.FE, 'callback': self.message})

    def message(self, ctx):
        told = json.loads(ctx.message)
        how = 'writes' if told['write'] else 'reads'
        print(f'{told["name"]} ({told["pid"]}, user {told["uid"]}) {how} {told["path"]}', flush=True)
