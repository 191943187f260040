"""Lists the root directory."""
# stopped by: openat


def attack(target):
    import os

    return os.listdir('/')
