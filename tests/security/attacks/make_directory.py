"""Makes a directory, to fill a disk with."""
# stopped by: mkdir


def attack(target):
    import os

    os.mkdir(target.scratch + '/directory')
    return True
