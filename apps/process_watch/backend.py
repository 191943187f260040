"""Prints what apps/process_watch/app.py sees: the table of processes, then those that come and go."""

import json

import be

HEADER = f'{"PID":>6} {"PPID":>6} {"UID":>6}  {"KIND":<7} {"NAME":<16} TASK'


def clean(text):
    """A name chosen in the guest, fit for a terminal."""
    return ''.join(c if c.isprintable() else '?' for c in text)


def row(process):
    kind = 'kernel' if process['kernel_thread'] else 'user'
    return (
        f'{process["pid"]:>6} {process["ppid"]:>6} {process["uid"]:>6}  {kind:<7} '
        f'{clean(process["name"]):<16} {process["task"]:#x}'
    )


class AppBE:
    def __init__(self, ctx):
        be.event_register({'event_type': be.FE, 'callback': self.message})

    def message(self, ctx):
        message = json.loads(ctx.message)
        if message['kind'] == 'table':
            print(f'{len(message["processes"])} processes in the VM of app {ctx.ident}:')
            print(HEADER)
            for process in sorted(message['processes'], key=lambda p: p['pid']):
                print(row(process))
        else:
            sign = '+' if message['kind'] == 'appeared' else '-'
            print(f'{sign} {message["kind"]:<8} {row(message["process"])}')
        return ''
