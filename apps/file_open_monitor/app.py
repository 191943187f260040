"""Sends the backend the files that the VM's processes open: JSON lines {'pid', 'name', 'uid', 'path',
'write'}.

metadata: paths to watch for, one a line, as shell patterns ('/etc/*'); empty: all.
"""

import fnmatch
import json

import fe

_ACCESS_MODE = 3  # O_ACCMODE
_CALLS = {'open': 'flags', 'openat': 'flags', 'creat': None}  # and which argument says how


class App:
    def __init__(self, ctx):
        fe.set_name('file_open_monitor')
        self.patterns = ctx['metadata'].split() or ['*']
        for name in _CALLS:
            fe.event_register({'event_type': fe.SYSCALL, 'number': name, 'callback': self.opened})
        fe.events_start()

    def opened(self, event):
        path = event.arguments.get('pathname')
        if not isinstance(path, str) or not any(fnmatch.fnmatch(path, pattern) for pattern in self.patterns):
            return
        flags = event.arguments.get(_CALLS[event.name], 1)
        fe.notify(
            json.dumps(
                {
                    'pid': event.pid,
                    'name': event.procname,
                    'uid': event.uid,
                    'path': path,
                    'write': flags & _ACCESS_MODE != 0,
                }
            )
        )
