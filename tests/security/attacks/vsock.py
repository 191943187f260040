"""Speaks to the hypervisor over vsock."""
# stopped by: socket
# needs: vsock


def attack(target):
    import socket

    return socket.socket(socket.AF_VSOCK, socket.SOCK_STREAM)
