"""Leaves a key in the kernel's memory."""
# stopped by: add_key


def attack(target):
    import ctypes

    return ctypes.CDLL(None).syscall(248, b'user', b'furnace-attack', b'x', 1, -1) > 0
