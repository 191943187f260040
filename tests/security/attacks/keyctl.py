"""Reads the keys of its starter's session."""
# stopped by: keyctl


def attack(target):
    import ctypes

    return ctypes.CDLL(None).syscall(250, 0, -3, 1) > 0
