"""Executes its own program again."""
# stopped by: execve


def attack(target):
    import os

    os.execv('/bin/echo', ['echo', 'BROKE OUT'])
