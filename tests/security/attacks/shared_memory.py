"""Leaves memory behind that outlives it."""
# stopped by: shmget


def attack(target):
    import ctypes

    libc = ctypes.CDLL(None)
    segment = libc.shmget(0, 4096, 0o1600)
    return segment >= 0 and libc.shmctl(segment, 0, None) == 0
