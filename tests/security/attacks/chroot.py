"""Takes another root, the first step out of the first."""
# stopped by: chroot


def attack(target):
    import ctypes

    return ctypes.CDLL(None).chroot(target.scratch.encode()) == 0
