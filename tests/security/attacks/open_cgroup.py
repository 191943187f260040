"""Lifts its own limits."""
# stopped by: openat


def attack(target):
    import os

    places = ('/sys/fs/cgroup/cgroup.procs', '/sys/fs/cgroup/memory/cgroup.procs')
    for place in places:
        try:
            return os.open(place, os.O_WRONLY) >= 0
        except OSError:
            pass
    return False
