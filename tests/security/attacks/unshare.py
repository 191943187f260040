"""Makes namespaces of its own, in which it is root."""
# stopped by: unshare


def attack(target):
    import ctypes

    return ctypes.CDLL(None).unshare(0x10000000) == 0 or ctypes.CDLL(None).unshare(0x04000000) == 0
