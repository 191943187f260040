"""Asks what is in a directory of another tenant, name by name."""
# stopped by: refused


def attack(target):
    import os

    return os.path.exists(target.secret)
