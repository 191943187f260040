"""Loads a program into the kernel."""
# stopped by: bpf


def attack(target):
    import ctypes

    attributes = ctypes.create_string_buffer(72)
    ctypes.memmove(attributes, (ctypes.c_uint32 * 4)(2, 4, 4, 1), 16)
    return ctypes.CDLL(None).syscall(321, 0, attributes, 72) >= 0
