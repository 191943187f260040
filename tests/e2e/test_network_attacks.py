"""Strangers at proxies and backends: who has a key is served beside them, and they take few
descriptors, little memory and few lines of the log."""

import os
import socket
import time

import pytest
import zmq
import zmq.auth

import peers
from furnace_testing import eventually, free_port
from lines import RECORDING_BACKEND, Line, lines_of, metrics_of
from strangers import ATTACKS, Attackers, silent
from wire import RecordingRelay

SECONDS = 3  # of each attack, at least
# Of a route that is full, with two sockets and two pipes a connection; a listener of ZeroMQ has fewer.
DESCRIPTORS = 64 * 6 + 100
MEMORY = 48 << 20
LINES = 60  # of the log: ten in ten seconds of each kind


class Blind:
    """A blind route; `say` is heard over a connection that is made for it."""

    front = [b'one-app-d']  # before the message

    def __init__(self, sim, work):
        self.line = Line(sim, work)
        self.heard, self.keys = self.line.heard, self.line.keys['one-app']
        self.process, self.port, self.count = self.line.proxy, sim.inside, 0

    def say(self):
        self.count += 1
        text = f'number {self.count}'
        self._send(self.port, f'peer-{self.count}-r', text)

    def record(self):
        """What a peer has said on its connection."""
        relay = RecordingRelay(self.port)
        self._send(relay.port, 'recorded-r', 'recorded')
        return relay.recorded

    def _send(self, port, identity, text):
        peer = peers.socket_of(zmq.DEALER, identity=identity.encode(), **peers.client_of(self.keys))
        peer.connect(f'tcp://127.0.0.1:{port}')
        peer.send_multipart([*self.front, peers.be_msg(text)])
        eventually(
            lambda: any(f' {text} ' in line for line in lines_of(self.heard)), 15, f'{text} to be heard'
        )
        peer.close()


class Backend(Blind):
    """The same without the proxy."""

    def __init__(self, sim, work):
        super().__init__(sim, work)
        self.process, self.port = self.line.backend, sim.outside


class Message(Blind):
    """A route that passes messages."""

    front = [b'']

    def __init__(self, sim, work):
        self.heard = work / 'heard'
        sim.start_backend(RECORDING_BACKEND % str(self.heard)).wait_log('listening')
        self.process = sim.start_proxy()
        self.process.wait_log('connected to the backend')
        self.port, self.count, self.keys = sim.inside, 0, sim.keys


def descriptors(process):
    return len(os.listdir(f'/proc/{process.process.pid}/fd'))


def memory(process):
    return int(open(f'/proc/{process.process.pid}/statm').read().split()[1]) * os.sysconf('SC_PAGE_SIZE')


@pytest.mark.parametrize('attack', ATTACKS, ids=lambda attack: attack.__name__)
@pytest.mark.parametrize('kind', [Blind, Message, Backend], ids=lambda kind: kind.__name__.lower())
def test_strangers_take_little_and_stop_no_app(sim_cloud, work, kind, attack):
    target = kind(sim_cloud, work)
    target.say()
    server_key = zmq.auth.load_certificate(str(sim_cloud.keys / 'be.pub'))[0]
    recorded = target.record()
    before, lines = memory(target.process), target.process.log.count('\n')
    with Attackers(attack, target.port, recorded=recorded, server_key=server_key) as attackers:
        eventually(lambda: attackers.tries > 20, 10, 'the attack')
        end = time.monotonic() + SECONDS
        while time.monotonic() < end:
            target.say()
            assert descriptors(target.process) < DESCRIPTORS
            assert memory(target.process) - before < MEMORY
    assert target.process.log.count('\n') - lines < LINES, target.process.log
    assert target.process.process.poll() is None


def test_who_stays_silent_is_closed(sim_cloud, work):
    """Also where nothing else happens: descriptors come back."""
    target = Blind(sim_cloud, work)
    target.say()
    before = {process: descriptors(process) for process in (target.line.proxy, target.line.backend)}
    held = [
        socket.create_connection(('127.0.0.1', port)) for port in (sim_cloud.inside, sim_cloud.outside) * 10
    ]
    for process in before:
        eventually(lambda: descriptors(process) > before[process], 10, 'the connections')
    for connection in held:
        connection.settimeout(15)
        while connection.recv(4096):  # a backend greets
            pass
    for process in before:
        eventually(lambda: descriptors(process) <= before[process], 10, 'their end')


def test_a_full_route_leaves_its_neighbours_theirs(sim_cloud, work):
    """Flooded from many addresses a route may be full; the next one is not."""
    target = Blind(sim_cloud, work)
    target.line.proxy.stop()
    flooded = free_port()
    routes = work / 'routes.toml'
    routes.write_text(
        ''.join(
            f'''
[[route]]
app = "{app}"
listen = "127.0.0.1:{port}"
backend = "127.0.0.1:{sim_cloud.outside}"
'''
            for app, port in (('one-app', sim_cloud.inside), ('two-app', flooded))
        )
    )
    proxy = sim_cloud.start('proxy', '--routes', routes, '--metrics', work / 'proxy.metrics')
    proxy.wait_log('relaying 2 routes')
    floods = [Attackers(silent, flooded, f'127.0.0.{number}') for number in range(70, 74)]
    for flood in floods:
        flood.__enter__()
    try:
        full = 'furnace_proxy_open_connections{app="two-app"} 64\n'
        eventually(lambda: full in metrics_of(work / 'proxy.metrics'), 10, 'a full route')
        for _ in range(5):
            target.say()
        assert descriptors(proxy) < DESCRIPTORS
    finally:
        for flood in floods:
            flood.__exit__()
