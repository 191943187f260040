"""Becomes another user."""
# stopped by: setresuid


def attack(target):
    import ctypes

    return ctypes.CDLL(None).syscall(117, 65530, 65530, 0) == 0
