"""Renames the host."""
# stopped by: sethostname


def attack(target):
    import ctypes

    libc = ctypes.CDLL(None)
    libc.unshare(0x04000000) if target.unconfined else None
    return libc.sethostname(b'mine', 4) == 0
