"""Ends a process of somebody else."""
# stopped by: kill


def attack(target):
    import os

    os.kill(target.victim, 9)
    return True
