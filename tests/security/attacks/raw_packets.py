"""Listens to the host's packets."""
# stopped by: socket


def attack(target):
    import socket

    return socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 3)
