"""Signals everything it can reach."""
# stopped by: kill


def attack(target):
    import os

    os.kill(-target.victims_group, 15)
    return True
