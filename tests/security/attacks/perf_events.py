"""Counts what other processes do to the caches."""
# stopped by: perf_event_open
# needs: perf


def attack(target):
    import ctypes

    attributes = ctypes.create_string_buffer(128)
    ctypes.memmove(attributes, (ctypes.c_uint32 * 2)(1, 128), 8)
    return ctypes.CDLL(None).syscall(298, attributes, 0, -1, -1, 0) >= 0
