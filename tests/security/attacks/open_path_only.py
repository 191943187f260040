"""Opens with O_PATH, for a magic link later."""
# stopped by: openat


def attack(target):
    import os

    return os.open('/etc/shadow', os.O_PATH) >= 0
