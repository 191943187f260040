"""Registers the events that its metadata lists, as JSON, and counts what comes: {"kinds": [...], "seconds":
N}.
"""

import json

import fe

KINDS = {
    'REG': {'event_type': fe.REG, 'reg_type': fe.CR3},
    'SYSCALL': {'event_type': fe.SYSCALL, 'number': 'openat'},
    'SYSCALLS': {'event_type': fe.SYSCALL},
    'CREATED': {'event_type': fe.PROCESS_CREATED},
    'EXECUTED': {'event_type': fe.PROCESS_EXECUTED},
    'EXITED': {'event_type': fe.PROCESS_EXITED},
    'CREDENTIALS': {'event_type': fe.CREDENTIALS},
    'MODULE': {'event_type': fe.MODULE_LOADED},
}


def registration(kind):
    """The dictionary for event_register of a kind by name, INT:SYMBOL, MEM:SYMBOL, or one that is
    complete.
    """
    if isinstance(kind, dict):
        return dict(kind, event_type=getattr(fe, kind['event_type']))
    name, _, symbol = kind.partition(':')
    if name == 'INT':
        return {'event_type': fe.INT, 'bp_addr': fe.checked.lookup_symbol(symbol)}
    if name == 'MEM':
        return {'event_type': fe.MEM, 'addr': fe.checked.lookup_symbol(symbol), 'length': 8, 'access': 'w'}
    return dict(KINDS[name.rstrip('+')], **({'returns': True} if name.endswith('+') else {}))


class App:
    def __init__(self, ctx):
        asked = json.loads(ctx['metadata'])
        self.seen = {}
        for kind in asked['kinds']:
            name = kind if isinstance(kind, str) else kind['event_type']
            fe.event_register(
                dict(
                    registration(kind),
                    sync=fe.SYNC if asked['sync'] else fe.ASYNC,
                    callback=lambda event, name=name: self.count(name, event),
                )
            )
        fe.events_start()
        print('watching', flush=True)
        fe.event_register({'event_type': fe.TIMER, 'time_value': asked['seconds'], 'callback': self.end})

    def count(self, name, event):
        seen, lost = self.seen.get(name, (0, 0))
        self.seen[name] = (seen + 1, lost + event.lost)

    def end(self, _):
        print(json.dumps(self.seen), flush=True)
        fe.exit()
