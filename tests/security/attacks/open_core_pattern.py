"""Makes the kernel start a program of its own at the next crash."""
# stopped by: openat


def attack(target):
    import os

    return os.open('/proc/sys/kernel/core_pattern', os.O_RDWR) >= 0
