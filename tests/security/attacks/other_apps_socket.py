"""Connects to the FAC and VMI sockets of another app."""
# stopped by: refused


def attack(target):
    import os
    import socket

    for path in target.other_sockets:
        if os.path.exists(path):
            with socket.socket(socket.AF_UNIX) as connection:
                connection.connect(path)
                return True
    return False
