"""An app that watches the PVH guest of a bed, one thing after the other, and what it has seen."""

# What is watched, one after the other.
WATCHED = {
    'requests': ["'event_type': fe.GUEST_REQUEST"],
    'commands': ["'event_type': fe.PROCESS_EXECUTED"],
    'system calls': ["'event_type': fe.SYSCALL"],
    'writes': ["'event_type': fe.MEM, 'addr': fe.lookup_symbol('jiffies'), 'length': 8, 'access': 'w'"],
    'execution': [
        "'event_type': fe.MEM, 'addr': fe.lookup_symbol('__x64_sys_openat'), 'length': 16, 'access': 'x'"
    ],
}
APP = """
self.rest, self.running = {phases}, []
fe.event_register({{'event_type': fe.TIMER, 'time_value': 10, 'callback': self.turn}})
fe.events_start()
self.turn(None)
"""
METHODS = """
    def told(self, event):
        self.seen.append({**event._asdict(), 'text': getattr(event, 'name', '')})
    def turn(self, _):
        if self.running:
            for identifier in self.running:
                identifier and fe.event_clear(identifier)
            show([self.name, self.seen])
        if not self.rest:
            fe.exit()
        self.name, registrations = self.rest.pop(0)
        self.seen = []
        try:
            self.running = [fe.event_register({**each, 'callback': self.told}) for each in registrations]
        except fe.VmiError as refused:
            self.seen, self.running = str(refused), [0]
        print('WATCHING', self.name, flush=True)
"""


def statements(phases):
    return APP.format(
        phases='['
        + ', '.join(
            f"({name!r}, [{', '.join('{' + each + '}' for each in phases[name])}])" for name in phases
        )
        + ']'
    )


def start_watching(serving, phases):
    serving.start_app(statements(phases), METHODS)


def seen_by(serving, phases):
    """The events of each phase."""
    return dict(serving.app(statements(phases), METHODS))
