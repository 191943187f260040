"""Removes a file that others need."""
# stopped by: unlink


def attack(target):
    import os

    os.unlink(target.scratch + '/trusted')
    return True
