"""Installs a filter of its own, with its own supervisor."""
# stopped by: prctl


def attack(target):
    import ctypes

    libc = ctypes.CDLL(None)
    return (
        libc.prctl(38, 1, 0, 0, 0) == 0
        and libc.syscall(317, 2, 0, ctypes.byref(ctypes.c_uint32(0x7FFF0000))) == 0
    )
