"""Asks the kernel for the host's network."""
# stopped by: socket


def attack(target):
    import socket

    return socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0)
