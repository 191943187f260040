"""Joins the namespaces of another process."""
# stopped by: pidfd_open


def attack(target):
    import ctypes

    libc = ctypes.CDLL(None)
    process = libc.syscall(434, target.victim, 0)
    return libc.setns(process, 0x04000000) == 0
