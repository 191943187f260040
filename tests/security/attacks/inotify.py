"""Watches what others do with files."""
# stopped by: inotify_init1


def attack(target):
    import ctypes

    libc = ctypes.CDLL(None)
    watch = libc.inotify_init1(0)
    return libc.inotify_add_watch(watch, b'/etc', 0xFFF) >= 0
