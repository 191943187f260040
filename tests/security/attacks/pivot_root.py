"""Exchanges the root: a bad address is what the kernel complains of last."""
# stopped by: pivot_root


def attack(target):
    import ctypes
    import errno

    libc = ctypes.CDLL(None, use_errno=True)
    libc.syscall(155, None, None)
    return ctypes.get_errno() == errno.EFAULT
