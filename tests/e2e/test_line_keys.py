"""Who may speak on a line home, and for how long: keys, names, and handshakes that somebody else has made."""

import json
import re
import time

import pytest
import zmq

import peers
from furnace_testing import APPS, eventually, free_port, furnace
from lines import RECORDING_BACKEND, KeptApart, Line, dealer, lines_of, metrics_of
from wire import RecordingRelay, handshake_pieces, replay


@pytest.fixture
def line(sim_cloud, work):
    """Several FAC partitions, a proxy and a shared backend."""
    sim_cloud.start_vmi()
    return Line(sim_cloud, work)


def test_an_app_cannot_send_or_receive_under_the_name_of_another(line):
    _, directory = line.fac('one-app')
    thief = dealer(line, 'two-app', b'one-app-d')
    thief.send_multipart([b'one-app-d', peers.be_msg('stolen')])
    line.backend.wait_log("not, or no longer, one of app 'one-app'")
    thief.send_multipart([peers.be_msg('stolen too')])
    app = line.app(
        'one-app',
        directory,
        (
            "fe.event_register({'event_type': fe.BE, 'callback': lambda m: (print(m.message, flush=True),"
            " fe.exit())})\nfe.notify('notify me')"
        ),
    )
    assert app.wait_end(20) == 0, app.log
    assert app.out == 'for one-app\n'
    with pytest.raises(zmq.Again):
        thief.recv_multipart()
    thief.close()
    assert not [text for text in lines_of(line.heard) if 'stolen' in text]
    assert line.metric('refused_messages_total') >= 2


def test_an_app_under_its_own_name_learns_how_to_be_safe(line):
    """Where many apps share a backend, connections with names that everybody can choose are not taken."""
    directory = line.work / 'one-app' / 'fac_socket'
    line.sim.start(
        'fac', *line.sim.fac_arguments(app='one-app', keys=line.keys['one-app'], directory=directory)
    ).wait_log('connected to the proxy')
    app = line.app(
        'one-app',
        directory,
        "try:\n    fe.request('hello', timeout=5)\nexcept fe.VmiError as e:\n    print(e)\nfe.exit()",
    )
    assert app.wait_end(20) == 0, app.log
    assert 'start its FAC partition with --blind' in app.out


def test_a_message_route_lets_no_more_connections_in_than_it_may(sim_cloud, work):
    sim_cloud.start_backend(RECORDING_BACKEND % str(work / 'heard')).wait_log('listening')
    proxy = sim_cloud.start(
        'proxy',
        '--ak',
        sim_cloud.keys / 'app.key',
        '--bk',
        sim_cloud.keys / 'be.key',
        '--ip',
        '127.0.0.1',
        '--it',
        sim_cloud.inside,
        '--ep',
        '127.0.0.1',
        '--et',
        sim_cloud.outside,
        '--connections',
        2,
        '--metrics',
        work / 'metrics',
    )
    proxy.wait_log('connected to the backend')

    def peer(name):
        one = peers.socket_of(zmq.DEALER, 1000, identity=name, **peers.client_of(sim_cloud.keys))
        one.setsockopt(zmq.RECONNECT_IVL, 50)
        one.connect(f'tcp://127.0.0.1:{sim_cloud.inside}')
        one.send_multipart([b'', peers.be_msg(name.decode())])
        return one

    first, second = peer(b'one-app-r'), peer(b'two-app-r')
    assert first.recv_multipart() and second.recv_multipart()
    third = peer(b'three-app-r')
    with pytest.raises(zmq.Again):
        third.recv_multipart()
    refused = re.search(
        r'^furnace_proxy_refused_connections_total\{.*\} (\d+)$', metrics_of(work / 'metrics'), re.M
    )
    assert int(refused[1]) >= 1
    first.close()
    third.setsockopt(zmq.RCVTIMEO, 10000)
    assert third.recv_multipart()
    for one in (second, third):
        one.close()


@pytest.mark.parametrize('server', ['proxy', 'backend'])
def test_a_recorded_handshake_lets_no_peer_in(line, sim_cloud, work, server):
    if server == 'proxy':
        sim_cloud.outside, sim_cloud.inside = free_port(), free_port()
        backend = sim_cloud.start_backend(RECORDING_BACKEND % str(work / 'heard'))
        backend.wait_log('listening')
        sim_cloud.start(
            'proxy',
            '--ak',
            sim_cloud.keys / 'app.key',
            '--bk',
            sim_cloud.keys / 'be.key',
            '--ip',
            '127.0.0.1',
            '--it',
            sim_cloud.inside,
            '--ep',
            '127.0.0.1',
            '--et',
            sim_cloud.outside,
            '--metrics',
            work / 'proxy.metrics',
        ).wait_log('connected to the backend')
        line.keys['one-app'] = sim_cloud.keys
    relay = RecordingRelay(sim_cloud.inside if server == 'proxy' else sim_cloud.outside)
    sim_cloud.inside = relay.port
    name = b'one-app-d' if server == 'proxy' else b'a-name-nobody-knows'
    peer = dealer(line, 'one-app', name)
    peer.send_multipart([peers.be_msg('once')] if server == 'proxy' else [b'one-app-d', peers.be_msg('once')])
    eventually(lambda: [text for text in lines_of(line.heard) if 'once' in text], 10, 'the message')
    peer.close()
    pieces = handshake_pieces(relay.recorded)
    assert pieces[1][2:8] == b'\x05HELLO', pieces[1][:10]
    for _ in range(3):
        answered = replay(relay.towards, pieces)
        assert b'WELCOME' in answered and b'READY' not in answered
        replay(relay.towards, [relay.recorded])
    time.sleep(0.5)
    assert len([text for text in lines_of(line.heard) if 'once' in text]) == 1
    if server == 'backend':
        line.backend.wait_log("a peer's handshake failed")
        assert line.metric('failed_handshakes_total') >= 3
    else:
        counted = re.search(
            r'^furnace_proxy_failed_handshakes_total\{.*\} (\d+)$', metrics_of(work / 'proxy.metrics'), re.M
        )
        assert int(counted[1]) >= 3


def test_keys_are_rotated_without_a_gap_and_revoked_at_once(line):
    _, directory = line.fac('one-app')
    old = dealer(line, 'one-app', b'secret-1')
    old.send_multipart([b'one-app-d', peers.be_msg('before')])
    eventually(lambda: [text for text in lines_of(line.heard) if 'before' in text], 10, 'the old key')
    shown = furnace('keys', 'rotate', line.keys['one-app'], '--window', '1h').stdout
    assert 'the old key is valid until' in shown
    for name, place in (('app.pub', 'one-app.pub'), ('app.previous.pub', 'one-app.previous.pub')):
        (line.apps / place).write_bytes((line.keys['one-app'] / name).read_bytes())
    line.backend.wait_log('allow-list read again: 3 keys')
    new = dealer(line, 'one-app', b'secret-2')
    for peer, text in ((old, 'with the old key'), (new, 'with the new key')):
        peer.send_multipart([b'one-app-d', peers.be_msg(text)])
        eventually(lambda: [heard for heard in lines_of(line.heard) if text in heard], 10, text)
    assert 'is not valid any more' in furnace('keys', 'revoke', line.apps / 'one-app.previous.pub').stdout
    line.backend.wait_log('allow-list read again: 2 keys')
    old.send_multipart([b'one-app-d', peers.be_msg('too late')])
    line.backend.wait_log('refused a message')
    new.send_multipart([b'one-app-d', peers.be_msg('still good')])
    eventually(lambda: [heard for heard in lines_of(line.heard) if 'still good' in heard], 10, 'the new key')
    assert not [heard for heard in lines_of(line.heard) if 'too late' in heard]
    for peer in (old, new):
        peer.close()


@pytest.mark.parametrize('way', ['blind', 'message'])
def test_the_backends_key_is_rotated_while_messages_pass(sim_cloud, work, way):
    line = KeptApart(sim_cloud, work, way == 'blind')
    sim_cloud.start_vmi()
    backend, proxy, fac = line.start_backend(), line.start_proxy(), line.start_fac()
    app = sim_cloud.start_app(APPS / 'storm')
    line.wait_for_more()
    assert (
        'takes it within a second'
        in furnace('keys', 'rotate', line.made, '--key', 'be', '--window', '1h').stdout
    )
    # FAC comes to know both keys. The backend has the old one still.
    line.hand_out('at-fac', 'be.pub', 'be.previous.pub')
    assert fac.stop() == 0
    fac = line.start_fac()
    line.wait_for_more()
    if way == 'message':
        line.hand_out('at-proxy', 'be.previous.pub', 'be.key')
        proxy.wait_log('new keys')
        line.wait_for_more()
    # The backend takes its new key: connections that are made from now on are made with that one.
    line.hand_out('at-backend', 'be.key')
    backend.wait_log('a new key of our own')
    line.wait_for_more()
    # From its next start it has the new one alone.
    assert backend.stop() == 0
    backend = line.start_backend()
    line.wait_for_more()
    (work / 'heard.end').touch()
    assert app.wait_end(30) == 0, app.log
    sent, _, asked, answered = json.loads(app.out.splitlines()[-1])
    assert answered >= asked - 4  # one each in the starts, at most
    eventually(
        lambda: len([text for text in lines_of(line.heard) if ' durable ' in text]) >= sent, 10, 'the rest'
    )
    numbers = [int(text.split(' ')[2]) for text in lines_of(line.heard) if ' durable ' in text]
    assert numbers == list(range(sent))


def test_a_backends_old_key_is_not_trusted_after_its_time(sim_cloud, work):
    """Who has stolen the key that was taken out of use can't play the backend."""
    line = KeptApart(sim_cloud, work, True)
    sim_cloud.start_vmi()
    line.start_proxy()
    furnace('keys', 'rotate', line.made, '--key', 'be', '--window', '6s')
    line.hand_out('at-fac', 'be.pub', 'be.previous.pub')
    thief = line.start_backend()
    fac = line.start_fac()
    fac.wait_log(r'(?s)connected to the backend.*trying the backend.s key', 15)
    assert furnace('keys', 'show', line.made / 'be.pub').stdout.split()[2] in fac.log
    thief.wait_log("a peer's handshake failed", 10)
    line.hand_out('at-backend', 'be.key')
    fac.wait_log(r'(?s)trying the backend.s key.*connected to the backend', 10)


def test_wrong_keys_are_named(work):
    keys = work / 'k'
    furnace('keys', 'new', keys)
    assert furnace('keys', 'check', keys).stdout.count('ok ') == 4
    secret = re.search(r'secret-key = "(.*)"', (keys / 'app.key').read_text())[1]
    assert secret not in furnace('keys', 'show', keys).stdout
    (keys / 'app.key').chmod(0o644)
    refused = furnace('keys', 'check', keys, check=False)
    assert refused.returncode == 1 and 'chmod 600' in refused.stdout
    (keys / 'app.key').chmod(0o600)
    (keys / 'be.pub').write_bytes((keys / 'app.pub').read_bytes())
    assert 'not of one pair' in furnace('keys', 'check', keys, check=False).stdout
    swapped = furnace(
        'proxy',
        '--ak',
        keys / 'app.key',
        '--bk',
        keys / 'app.key',
        '--ip',
        '127.0.0.1',
        '--ep',
        '127.0.0.1',
        check=False,
    )
    assert swapped.returncode == 1 and 'were files swapped?' in swapped.stderr
    blind = furnace(
        'proxy', '--blind', '--ak', keys / 'app.key', '--ip', '127.0.0.1', '--ep', '127.0.0.1', check=False
    )
    assert 'holds no keys' in blind.stderr


def test_a_key_of_another_app_is_refused_by_its_name(work):
    furnace('keys', 'new', work / 'k', '--app', 'somebody-app')
    (work / 'fac').mkdir()
    for flags in ([], ['--unconfined']):
        refused = furnace(
            'fac',
            '--u2',
            'another-app',
            '--kp',
            work / 'k',
            '--ip',
            '127.0.0.1',
            '--fac',
            work / 'fac',
            *flags,
            check=False,
        )
        assert refused.returncode == 1
        assert 'app.key: it is the key of app somebody-app, not of another-app' in refused.stderr
