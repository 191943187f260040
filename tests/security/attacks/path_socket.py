"""Connects to a socket of the host."""
# stopped by: refused


def attack(target):
    import socket

    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(target.socket)
        return True
