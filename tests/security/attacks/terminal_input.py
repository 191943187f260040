"""Types into the terminal of its operator."""
# stopped by: ioctl


def attack(target):
    import ctypes
    import os

    libc = ctypes.CDLL(None)
    steal_input, take_terminal = 0x5412, 0x540E
    if libc.ioctl(0, steal_input, b'x') == 0:
        return True
    ours, theirs = os.openpty()
    if os.fork() == 0:
        os.setsid()
        libc.ioctl(theirs, take_terminal, 0)
        os._exit(0 if libc.ioctl(theirs, steal_input, b'x') == 0 else 1)
    return os.wait()[1] == 0
