"""Connects out over TCP."""
# stopped by: socket


def attack(target):
    import socket

    with socket.socket() as connection:
        connection.connect(('127.0.0.1', target.port))
        return True
