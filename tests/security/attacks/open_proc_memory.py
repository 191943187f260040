"""Writes its own memory through /proc, past the protection of pages."""
# stopped by: openat


def attack(target):
    import os

    return os.open('/proc/self/mem', os.O_RDWR) >= 0
