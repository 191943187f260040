"""Loads a kernel module: a bad descriptor is what the kernel complains of last."""
# stopped by: finit_module
# needs: modules


def attack(target):
    import ctypes
    import errno

    libc = ctypes.CDLL(None, use_errno=True)
    libc.syscall(313, -1, b'', 0)
    return ctypes.get_errno() == errno.EBADF
