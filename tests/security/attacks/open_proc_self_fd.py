"""Opens one of its own descriptors anew, to get other rights."""
# stopped by: openat


def attack(target):
    import os

    return os.open('/proc/self/fd/1', os.O_WRONLY) >= 0
