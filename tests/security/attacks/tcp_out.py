"""Connects out over TCP."""
# stopped by: socket


def attack(target):
    import socket
    return socket.create_connection(('127.0.0.1', target.port), 2)
