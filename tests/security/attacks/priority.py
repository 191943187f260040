"""Takes the CPU from the others."""
# stopped by: setpriority


def attack(target):
    import ctypes

    return ctypes.CDLL(None).setpriority(0, 0, -10) == 0
