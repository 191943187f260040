"""Prints what the file open monitor sends."""

import json

import be


class AppBE:
    def __init__(self, ctx):
        be.event_register({'event_type': be.FE, 'callback': self.message})

    def message(self, ctx):
        opened = json.loads(ctx.message)
        how = 'writes' if opened['write'] else 'reads'
        print(f'{opened["name"]} ({opened["pid"]}, user {opened["uid"]}) {how} {opened["path"]}', flush=True)
