"""Reads the environment of another process."""
# stopped by: openat


def attack(target):
    with open(f'/proc/{target.victim}/environ', 'rb') as file:
        return b'SECRET' in file.read()
