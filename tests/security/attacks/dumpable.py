"""Makes itself readable by others."""
# stopped by: prctl


def attack(target):
    import ctypes

    return ctypes.CDLL(None).prctl(4, 0, 0, 0, 0) == 0
