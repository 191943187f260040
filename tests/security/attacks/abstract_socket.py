"""Connects to an abstract socket of the host, which no mount namespace hides."""
# stopped by: refused


def attack(target):
    import socket

    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect('\0' + target.abstract)
        return True
