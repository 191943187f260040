"""Exchanges a file that others trust."""
# stopped by: rename


def attack(target):
    import os

    os.rename(target.scratch + '/trusted', target.scratch + '/mine')
    return True
