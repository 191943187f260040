"""Gives a file of the host a second name."""
# stopped by: link


def attack(target):
    import os

    os.link(target.secret, target.scratch + '/hard')
    return True
