"""Speaks to another partition through a queue of the kernel."""
# stopped by: mq_open


def attack(target):
    import ctypes

    return (
        ctypes.CDLL(None).syscall(240, b'furnace-attack', 0o102, 0o600, None) >= 0
        and ctypes.CDLL(None).syscall(241, b'furnace-attack') == 0
    )
