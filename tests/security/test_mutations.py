"""Mutated messages at every socket, under production's limits: the process lives on, and honest messages are
answered afterwards.

FURNACE_MUTATIONS (100000) is how many go to each partition; proxy and backend get a tenth."""

import contextlib
import os
import random
import re
import socket
import struct
import subprocess
import sys
import uuid
from pathlib import Path

import pytest
import zmq

from flood import GREETING, header, ready
from furnace_testing import Cloud, eventually
from mutate import mutated, peers

COUNT = int(os.environ.get('FURNACE_MUTATIONS', '100000'))
CORPUS = Path(__file__).parents[1] / 'fuzz' / 'corpus'
ECHO = '''
import fe
class App:
    def __init__(self, ctx):
        print(fe.io_set('key', 'value'), fe.io_get('key'), len(fe.process_list()), fe.notify('after'), flush=True)
        fe.exit()
'''
HEARS = '''
import be
class AppBE:
    def __init__(self, ctx):
        be.event_register({'event_type': be.FE, 'callback': self.heard})
    def heard(self, ctx):
        print('heard', ctx.message[:20], flush=True)
'''


def mutate(endpoint, identity, corpus, count, *keys):
    """Sends them; how many answers came."""
    seed = os.environ.get('FURNACE_MUTATIONS_SEED', uuid.uuid4().hex)
    print(f'FURNACE_MUTATIONS_SEED={seed}')
    done = subprocess.run(
        [
            sys.executable,
            Path(__file__).with_name('mutate.py'),
            endpoint,
            identity,
            str(count),
            seed,
            CORPUS / corpus,
            *keys,
        ],
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert done.returncode == 0, done.stderr
    sent, answers = map(int, done.stdout.split())
    assert sent == count
    return answers


def resident_mb(pid):
    return int(re.search(r'RssAnon:\s+(\d+)', Path(f'/proc/{pid}/status').read_text())[1]) / 1024


@pytest.fixture
def line(work):
    """All partitions of an app on the simulator, its proxy and its backend."""
    made = Cloud(work, 'sim', driver='simulator')
    made.backend = made.start_backend(HEARS)
    made.backend.wait_log('listening')
    made.proxy = made.start_proxy()
    made.proxy.wait_log('connected to the backend')
    made.vmi, made.fac = made.start_vmi(), made.start_fac()
    yield made
    made.stop()


def check_alive(line):
    for process in (line.vmi, line.fac, line.proxy, line.backend):
        assert process.process.poll() is None, process.log
    app = line.start_app(ECHO)
    assert app.wait_end(30) == 0 and 'value' in app.out, f'{app.out} {app.log}'
    eventually(lambda: 'heard after' in line.backend.out, 15, 'the backend to hear')


def test_the_vmi_partition(line):
    assert mutate(f'ipc://{line.vmi_dir}/vmi_rtr', 'mutant-r', 'vmi_message', COUNT) > COUNT / 20
    check_alive(line)


def test_the_fac_partition(line):
    mutate(f'ipc://{line.fac_dir}/fac_rtr', 'mutant-d', 'fac_message', COUNT)
    check_alive(line)


@pytest.mark.parametrize('where', ['vmi', 'fac'])
def test_bytes_that_are_nearly_zmtp(line, where):
    """What a client sends from its greeting on, mutated, one connection after the other."""
    path = line.vmi_dir / 'vmi_rtr' if where == 'vmi' else line.fac_dir / 'fac_rtr'
    chance = random.Random(os.environ.get('FURNACE_MUTATIONS_SEED', uuid.uuid4().hex))
    frames = [file.read_bytes() for file in sorted((CORPUS / 'zmtp').iterdir())]
    honest = GREETING + ready(b'mutant-d') + b'\x01\x00' + header(4) + b'abcd'
    for i in range(COUNT // 50):
        body = mutated(chance, [honest, *frames])
        with socket.socket(socket.AF_UNIX) as it, contextlib.suppress(ConnectionError):
            it.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, struct.pack('ll', 20, 0))
            it.connect(str(path))
            it.sendall(body if i % 2 else GREETING + ready(b'mutant-d') + body)
    check_alive(line)


@pytest.mark.parametrize('where', ['proxy', 'backend'])
def test_the_tenants_ends(line, where):
    port = line.inside if where == 'proxy' else line.outside
    before = resident_mb(getattr(line, where).process.pid)
    for corpus in ('backend_message', 'fac_message'):
        mutate(f'tcp://127.0.0.1:{port}', 'mutant-d', corpus, COUNT // 20, line.keys)
    assert resident_mb(getattr(line, where).process.pid) < before + 32
    check_alive(line)


def test_names_that_are_no_text_do_not_end_a_backend(line):
    """An app's FAC partition chooses its identity, and what it writes into the fields of a message."""
    traceparent = b'\xb1\xff'
    inner = peers.FacMessage.FromString(peers.be_msg('hello')).be_msg[0].SerializeToString()
    inner += bytes([208 << 3 & 0x7F | 2 | 0x80, 208 << 3 >> 7, len(traceparent)]) + traceparent
    body = b'\x08\x03' + b'\x22' + bytes([len(inner)]) + inner
    peer = peers.socket_of(zmq.DEALER, identity=b'\xb1\xff-r', **peers.client_of(line.keys))
    peer.connect(f'tcp://127.0.0.1:{line.outside}')
    peer.send_multipart([b'', body])
    eventually(
        lambda: 'heard hello' in line.backend.out or 'dropped' in line.backend.log, 10, line.backend.log
    )
    peer.close()
    check_alive(line)
