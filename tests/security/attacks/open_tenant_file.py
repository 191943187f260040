"""Reads what another tenant has stored."""
# stopped by: openat


def attack(target):
    with open(target.secret) as file:
        return file.read()
