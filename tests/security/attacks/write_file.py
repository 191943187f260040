"""Writes a file."""
# stopped by: openat


def attack(target):
    with open(target.scratch + '/new', 'w') as file:
        return file.write('x')
