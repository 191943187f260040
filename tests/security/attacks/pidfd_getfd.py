"""Takes an open file of another process."""
# stopped by: pidfd_open


def attack(target):
    import ctypes

    libc = ctypes.CDLL(None)
    process = libc.syscall(434, target.victim, 0)
    return process >= 0 and libc.syscall(438, process, 1, 0) >= 0
