"""Holds the kernel in the middle of a copy."""
# stopped by: userfaultfd


def attack(target):
    import ctypes

    return ctypes.CDLL(None).syscall(323, 1) >= 0
