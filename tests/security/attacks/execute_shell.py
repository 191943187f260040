"""Executes a shell."""
# stopped by: clone


def attack(target):
    import os

    return os.spawnv(os.P_WAIT, '/bin/sh', ['sh', '-c', 'exit 0']) == 0
