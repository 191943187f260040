"""Changes the limits of another process."""
# stopped by: prlimit64


def attack(target):
    import ctypes

    limits = (ctypes.c_uint64 * 2)()
    return ctypes.CDLL(None).prlimit(target.victim, 7, None, limits) == 0
