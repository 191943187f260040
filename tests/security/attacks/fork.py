"""Starts a second process."""
# stopped by: clone


def attack(target):
    import os

    if os.fork() == 0:
        os._exit(0)
    return True
