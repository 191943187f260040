"""Goes through another process's root, a magic link."""
# stopped by: openat


def attack(target):
    with open(f'/proc/{target.victim}/root/etc/shadow') as file:
        return file.readline()
