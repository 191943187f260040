"""Opens the root directory, to go on from there with openat."""
# stopped by: openat


def attack(target):
    import os

    root = os.open('/', os.O_RDONLY | os.O_DIRECTORY)
    return os.open('etc/shadow', os.O_RDONLY, dir_fd=root)
