"""One attacker at a partition's socket, by bytes: flood.py KIND SOCKET IDENTITY SECONDS."""

import socket
import struct
import sys
import time

GREETING = b'\xff' + bytes(8) + b'\x7f\x03\x01' + b'NULL'.ljust(20, b'\0') + bytes(32)
PIECE = bytes(64 << 10)


def ready(identity, kind=b'DEALER'):
    text = b'\x05READY\x0bSocket-Type' + struct.pack('>I', len(kind)) + kind
    text += b'\x08Identity' + struct.pack('>I', len(identity)) + identity
    return bytes([4, len(text)]) + text


def header(size, more=False):
    return struct.pack('>BQ', 2 | more, size)


def connect(path, identity=None):
    made = socket.socket(socket.AF_UNIX)
    made.settimeout(0.5)
    made.connect(path)
    if identity is not None:
        made.sendall(GREETING + ready(identity))
    return made


def largest_messages(path, identity, round):
    """12 MB that parse to as much again: a write."""
    with connect(path, identity) as it:
        size = (12 << 20) - 100
        body = b'\x08\x00\x12' + varint(size) + bytes(size)
        call = b'\x92\x05' + varint(len(body)) + body + b'\xf0\x07\x52'
        for _ in range(4):
            it.sendall(b'\x01\x00' + header(len(call)) + call)


def varint(number):
    out = b''
    while number > 127:
        out += bytes([number & 127 | 128])
        number >>= 7
    return out + bytes([number])


def half_frames(path, identity, round):
    kept = [connect(path, identity + b'%d' % i) for i in range(4)]
    for it in kept:
        it.sendall(b'\x01\x00' + header(11_000_000))
    for it in kept:
        try:
            for _ in range(150):
                it.sendall(PIECE)
        except OSError:
            pass
    time.sleep(1)


def endless_parts(path, identity, round):
    with connect(path, identity) as it:
        while True:
            it.sendall((b'\x01\x00' + b'\x01\xc8' + bytes(200)) * 500)


def connections(path, identity, round):
    kept = []
    try:
        for i in range(300):
            kept.append(connect(path))
            kept[-1].sendall(
                GREETING
                + (
                    ready(identity + b'%d' % i) + b'\x01\x00' + header(60_000) + bytes(50_000)
                    if i % 2
                    else b''
                )
            )
    except OSError:
        time.sleep(0.5)


def unread_answers(path, identity, round):
    """Two reads of 12 MB in one message, which nobody takes."""
    read = b'\xa2\x04\x07\x08\x00\x10\x80\x80\x80\x05' + b'\xf0\x07\x44'
    with connect(path, identity + b'%d' % round) as it:
        try:
            for _ in range(100):
                it.sendall(b'\x01\x00\x00' + bytes([2 * len(read)]) + read * 2)
        finally:
            time.sleep(3)


def no_zmtp(path, identity, round):
    with connect(path) as it:
        it.sendall(
            (b'GET / HTTP/1.1\r\n\r\n', b'\xff' * 1000, GREETING + b'\xf0' * 5000, GREETING[:30])[round % 4]
        )
        time.sleep(0.01)


KINDS = {
    each.__name__: each
    for each in (largest_messages, half_frames, endless_parts, connections, unread_answers, no_zmtp)
}

if __name__ == '__main__':
    kind, path, identity, seconds = sys.argv[1:]
    end = time.monotonic() + float(seconds)
    done = 0
    while time.monotonic() < end:
        try:
            KINDS[kind](path, identity.encode(), done)
        except OSError:
            time.sleep(0.01)
        done += 1
    print(done)
