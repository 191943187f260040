"""What strangers on the network do to a listener of ZeroMQ with CURVE: until `stop` is set."""

import os
import socket
import struct
import threading

import zmq

import wire

# Of a client of ZMTP 3.1 (RFC 37).
GREETING = wire.SIGNATURE + b'\x03\x01CURVE' + bytes(15) + b'\x00' + bytes(31)
PAUSE = 0.05  # seconds


class Stranger:
    """Connections from one address to one port, made again when they are closed."""

    def __init__(self, port, address, stop):
        self.port, self.address, self.stop, self.tries = port, address, stop, 0

    def connect(self):
        self.tries += 1
        return socket.create_connection(('127.0.0.1', self.port), 1, source_address=(self.address, 0))

    def hold(self, count, first=b'', drip=b''):
        """Keeps `count` connections up that have said `first`, and add a byte of `drip` now and then."""
        held = []
        while not self.stop.is_set():
            try:
                while len(held) < count:
                    held.append([self.connect(), iter(drip)])
                    held[-1][0].sendall(first)
            except OSError:
                pass
            self.stop.wait(PAUSE)
            held = [each for each in held if self.lives(*each)]
        for connection, _ in held:
            connection.close()

    @staticmethod
    def lives(connection, drip):
        try:
            connection.sendall(bytes([byte]) if (byte := next(drip, None)) is not None else b'')
            connection.setblocking(False)
            return connection.recv(4096) != b''
        except BlockingIOError:
            return True
        except OSError:
            return False

    def again(self, act):
        """Connects and acts, over and over."""
        while not self.stop.is_set():
            try:
                with self.connect() as connection:
                    act(connection)
            except OSError:
                self.stop.wait(0.001)


def silent(stranger):
    stranger.hold(200)


def half_a_greeting(stranger):
    stranger.hold(200, GREETING[:9])


def greeting_and_no_more(stranger):
    stranger.hold(200, GREETING)


def slowloris(stranger):
    stranger.hold(100, b'\xff', GREETING[1:] * 100)


def another_protocol(stranger):
    stranger.again(lambda connection: (connection.sendall(b'GET / HTTP/1.1\r\n\r\n'), connection.recv(1)))


def resets(stranger):
    at_once = struct.pack('ii', 1, 0)  # SO_LINGER: closed by RST
    stranger.again(lambda connection: connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, at_once))


def commands_without_end(stranger):
    """Announces a command of 2^62 bytes, and sends of it what is taken."""

    def act(connection):
        connection.sendall(GREETING + b'\x06' + struct.pack('>Q', 1 << 62))
        while not stranger.stop.is_set():
            connection.sendall(b'x' * 65536)

    stranger.again(act)


def noise(stranger):
    stranger.again(
        lambda connection: (connection.sendall(GREETING + os.urandom(2000)), connection.recv(1000))
    )


def wrong_keys(stranger):
    """Peers of ZeroMQ with keys of their own that are on no allow-list, two hundred a second."""
    context = zmq.Context()
    while not stranger.stop.is_set():
        public, secret = zmq.curve_keypair()
        peer = context.socket(zmq.DEALER)
        peer.linger, peer.curve_serverkey = 0, stranger.server_key
        peer.curve_publickey, peer.curve_secretkey = public, secret
        peer.connect(f'tcp://{stranger.address}:0;127.0.0.1:{stranger.port}')
        stranger.tries += 1
        stranger.stop.wait(0.005)
        peer.close()
    context.destroy()


def replays(stranger):
    """Says again what a peer with a key has said (RFC 26)."""

    def act(connection):
        connection.settimeout(0.2)
        for piece in wire.handshake_pieces(stranger.recorded):
            connection.sendall(piece)
            connection.recv(65536)

    stranger.again(act)


ATTACKS = (
    silent,
    half_a_greeting,
    greeting_and_no_more,
    slowloris,
    another_protocol,
    resets,
    commands_without_end,
    noise,
    wrong_keys,
    replays,
)


class Attackers:
    """Four threads of an attack, from one address, for as long as the context lasts."""

    def __init__(self, attack, port, address='127.0.0.66', **known):
        self._stop = threading.Event()
        self._strangers = [Stranger(port, address, self._stop) for _ in range(4)]
        for stranger in self._strangers:
            vars(stranger).update(known)
        self._threads = [threading.Thread(target=attack, args=(each,)) for each in self._strangers]

    def __enter__(self):
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self._stop.set()
        for thread in self._threads:
            thread.join()

    @property
    def tries(self):
        return sum(each.tries for each in self._strangers)
