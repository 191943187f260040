"""Empties a file that others need."""
# stopped by: truncate


def attack(target):
    import os

    os.truncate(target.scratch + '/trusted', 0)
    return True
