"""Mounts a file system over another."""
# stopped by: mount


def attack(target):
    import ctypes

    libc = ctypes.CDLL(None)
    libc.mount(None, None, None, 0, None)  # only to be seen
    libc.unshare(0x20000)
    libc.mount(b'none', b'/', None, 0x44000, None)  # private: what follows is no other's
    return libc.mount(b'none', target.scratch.encode(), b'tmpfs', 0, None) == 0
