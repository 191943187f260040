"""Attaches to another process as a debugger."""
# stopped by: ptrace


def attack(target):
    import ctypes

    return ctypes.CDLL(None).ptrace(0x4206, target.victim, 0, 0) == 0
