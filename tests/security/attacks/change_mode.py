"""Lets others write to a file."""
# stopped by: chmod


def attack(target):
    import os

    os.chmod(target.scratch + '/trusted', 0o777)
    return True
