"""Sends a datagram out."""
# stopped by: socket


def attack(target):
    import socket

    return socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b'x', ('127.0.0.1', target.port))
