"""Leaves its library by ".."."""
# stopped by: openat


def attack(target):
    with open('/usr/lib/../../etc/shadow') as file:
        return file.readline()
