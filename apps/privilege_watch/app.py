"""Alarms the backend when a process gets more rights: JSON lines {'alarm': 'root'|'capabilities', 'pid',
'ppid', 'name', 'old_uid', 'new_uid', 'old_euid', 'new_euid', 'gained': [capability numbers]}.

The kernel's commit_creds is what every such change goes through, an exploit's too.
"""

import json

import fe


class App:
    def __init__(self, ctx):
        fe.set_name('privilege_watch')
        fe.event_register({'event_type': fe.CREDENTIALS, 'callback': self.changed})
        fe.events_start()

    def changed(self, event):
        becomes_root = event.new_euid == 0 != event.old_euid
        gained = event.new_capabilities & ~event.old_capabilities
        if not becomes_root and not gained:
            return
        fe.notify(
            json.dumps(
                {
                    'alarm': 'root' if becomes_root else 'capabilities',
                    'pid': event.pid,
                    'ppid': event.ppid,
                    'name': event.procname,
                    'old_uid': event.old_uid,
                    'new_uid': event.new_uid,
                    'old_euid': event.old_euid,
                    'new_euid': event.new_euid,
                    'gained': [bit for bit in range(64) if gained >> bit & 1],
                }
            )
        )
