"""Asks for capabilities."""
# stopped by: capget


def attack(target):
    import ctypes

    libc = ctypes.CDLL(None)
    header, data = (ctypes.c_uint32 * 2)(0x20080522, 0), (ctypes.c_uint32 * 6)()
    return libc.syscall(125, header, data) == 0 and libc.syscall(126, header, data) == 0 and data[0] != 0
