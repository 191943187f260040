"""Opens a device."""
# stopped by: openat


def attack(target):
    import os

    return os.open('/dev/null', os.O_RDWR) >= 0
