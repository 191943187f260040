"""Opens by openat2, which older filters don't know."""
# stopped by: openat2


def attack(target):
    import ctypes

    how = (ctypes.c_uint64 * 3)()
    return ctypes.CDLL(None).syscall(437, -100, b'/etc/shadow', how, 24) >= 0
