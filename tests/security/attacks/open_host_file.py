"""Reads the host's password hashes."""
# stopped by: openat


def attack(target):
    with open('/etc/shadow') as file:
        return file.readline()
