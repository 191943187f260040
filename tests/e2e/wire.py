"""Who sits on the wire: records what a client says, and says it again."""

import socket
import threading

SIGNATURE = b'\xff' + bytes(7) + b'\x01\x7f'  # what every peer of ZeroMQ says first


def let_in(client, backend):
    """The listener's end of a connection through a blind proxy, as far as the proxy sees that it was let
    in.
    """
    client.sendall(SIGNATURE)
    server = backend.accept()[0]
    assert server.recv(len(SIGNATURE), socket.MSG_WAITALL) == SIGNATURE
    answer = b'r' * 300  # longer than a greeting and WELCOME
    server.sendall(answer)
    assert client.recv(len(answer), socket.MSG_WAITALL) == answer
    return server


class RecordingRelay:
    """Passes one TCP connection on, as who sits on the wire could; `recorded` is what the client sent."""

    def __init__(self, port):
        self.recorded = b''
        self._listener = socket.create_server(('127.0.0.1', 0))
        self.port = self._listener.getsockname()[1]
        self.towards = port
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self):
        client, _ = self._listener.accept()
        server = socket.create_connection(('127.0.0.1', self.towards))
        threading.Thread(target=self._pass_back, args=(server, client), daemon=True).start()
        while piece := client.recv(65536):
            self.recorded += piece
            server.sendall(piece)
        server.close()

    @staticmethod
    def _pass_back(server, client):
        try:
            while piece := server.recv(65536):
                client.sendall(piece)
        except OSError:
            pass  # the other thread has closed it


def replay(port, recorded):
    """Says again what was recorded, a piece at each answer; what the server answered."""
    answered = b''
    with socket.create_connection(('127.0.0.1', port)) as again:
        again.settimeout(1)
        for piece in recorded:
            try:
                again.sendall(piece)
                answered += again.recv(65536)
            except (TimeoutError, ConnectionError):
                break
    return answered


def handshake_pieces(recorded):
    """ZMTP 3.1's greeting, HELLO, INITIATE and what followed (RFC 23, RFC 26)."""
    greeting, rest = recorded[:64], recorded[64:]
    hello, rest = rest[: 2 + rest[1]], rest[2 + rest[1] :]
    return [greeting, hello, rest]
