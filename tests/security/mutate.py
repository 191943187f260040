"""Mutations of real messages with amplification in mind: mutate.py TRANSPORT SOCKET IDENTITY COUNT SEED
CORPUS [KEYS].

Prints how many messages were sent. A message that is not taken within 5 s is an error: who limits may delay,
not stop."""

import random
import sys
from pathlib import Path

import zmq

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / 'e2e'))
import peers  # noqa: E402

LONG = [
    b'\xff\xff\xff\xff\x0f',
    b'\xff\xff\xff\xff\xff\xff\xff\xff\x7f',
    b'\xff' * 9 + b'\x01',
    b'\x80\x80\x04',
    b'\x80\x80\x80\x06',
    b'\x00',
    b'\x7f',
]


def nest(chance, body):
    """The message in a field of a message, and so on."""
    for _ in range(chance.choice((2, 20, 90, 200))):
        if len(body) > 1000:
            break
        body = (
            bytes([chance.randrange(1, 16) << 3 | 2, len(body) & 0x7F | (0x80 if len(body) > 127 else 0)])
            + (bytes([len(body) >> 7]) if len(body) > 127 else b'')
            + body
        )
    return body


def flip(chance, body):
    out = bytearray(body)
    for _ in range(chance.randint(1, 8)):
        out[chance.randrange(len(out))] ^= 1 << chance.randrange(8)
    return bytes(out)


def lengthen(chance, body):
    """A byte, perhaps a length or a count, becomes a large number."""
    at = chance.randrange(len(body))
    return body[:at] + chance.choice(LONG) + body[at + 1 :]


def repeat(chance, body):
    start = chance.randrange(len(body))
    piece = body[start : start + chance.randint(1, 24)]
    return body[:start] + piece * chance.choice((2, 10, 100, 1000)) + body[start:]


def cut(chance, body):
    return body[: chance.randrange(len(body))]


def splice(chance, body, others):
    other = chance.choice(others)
    return body[: chance.randrange(len(body) + 1)] + other[chance.randrange(len(other)) :]


def mutated(chance, seeds):
    body = chance.choice(seeds)
    for _ in range(chance.randint(1, 3)):
        if not body:
            return body
        how = chance.choice((flip, flip, lengthen, repeat, cut, nest, splice))
        body = how(chance, body, seeds) if how is splice else how(chance, body)
    return body


def main():
    endpoint, identity, count, seed, corpus, *keys = sys.argv[1:]
    seeds = [file.read_bytes() for file in sorted(Path(corpus).iterdir()) if file.stat().st_size]
    chance = random.Random(seed)
    peer = peers.socket_of(
        zmq.DEALER, 5_000, identity=identity.encode(), **(peers.client_of(Path(keys[0])) if keys else {})
    )
    peer.connect(endpoint)
    answers = 0
    for _ in range(int(count)):
        body = mutated(chance, seeds)
        peer.send_multipart([b'', body] if chance.random() < 0.95 else [b''] * chance.randint(1, 40) + [body])
        while peer.poll(0):
            peer.recv_multipart()
            answers += 1
    peer.linger = 5_000
    peer.close()
    print(count, answers)


if __name__ == '__main__':
    main()
