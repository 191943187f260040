"""Apps on one VMI partition: limits, counters, and nobody starved."""

import re
import signal
import socket
import time

import pytest
import zmq

from furnace_testing import APP, eventually, furnace, resident_mb, run_app

GREEDY = '''
import fe
class App:
    def __init__(self, ctx):
        va = fe.lookup_symbol('init_task')
        self.calls = [{'type': 'READ_VA', 'label': i, 'args': {'vaddr': va, 'pid': 0, 'count': 4096}} for i in range(1000)]
        fe.event_register({'event_type': fe.TIMER, 'time_value': 0.0, 'callback': lambda _: fe.batch(self.calls)})
'''


def metrics(path):
    with socket.socket(socket.AF_UNIX) as peer:
        peer.connect(str(path))
        peer.sendall(b'GET / HTTP/1.0\r\n\r\n')
        text = b''
        while piece := peer.recv(65536):
            text += piece
    return {
        (name, app): float(value)
        for name, app, value in re.findall(r'^(\w+)\{.*?app="(.*?)"\} (\S+)$', text.decode(), re.M)
    }


def test_an_app_that_floods_starves_no_other(sim_cloud, work):
    """Each of the other's reads is served between two slices of the flood: it makes progress all the time."""
    sim_cloud.start_vmi('--metrics', work / 'metrics')
    greedy = sim_cloud.start_app(GREEDY, app='greedy')
    eventually(
        lambda: metrics(work / 'metrics').get(('furnace_vmi_calls_total', 'greedy-r'), 0) >= 5000,
        10,
        'the flood',
    )
    (done,) = run_app(
        sim_cloud,
        """
va = fe.lookup_symbol('init_task')
start = time.monotonic()
for _ in range(500):
    fe.checked.read_64_va(va, 0)
show(time.monotonic() - start)
""",
        app='modest',
    )
    counted = metrics(work / 'metrics')
    assert counted['furnace_vmi_calls_total', 'greedy-r'] > 5000
    assert greedy.process.poll() is None
    assert done < 5, 'ten milliseconds a read would be starving'


def test_calls_per_second_are_limited_for_each_app(sim_cloud, work):
    sim_cloud.start_vmi('--calls-per-second', '200', '--metrics', work / 'metrics')
    (took,) = run_app(
        sim_cloud,
        """
start = time.monotonic()
for _ in range(600):
    fe.status()
show(time.monotonic() - start)
""",
    )
    assert took > 1.5, '200 come at once, 400 more take two seconds'


def test_an_app_that_does_not_read_its_answers_is_served_no_more(sim_cloud, work):
    vmi = sim_cloud.start_vmi('--outstanding', '30000000', '--memory', '128', '--metrics', work / 'metrics')
    run_app(sim_cloud, 'fe.status()')
    context = zmq.Context()
    peer = context.socket(zmq.DEALER)
    peer.setsockopt(zmq.IDENTITY, b'slow-r')
    peer.setsockopt(zmq.LINGER, 0)
    peer.setsockopt(zmq.RCVHWM, 1)
    peer.setsockopt(zmq.RCVBUF, 4096)
    peer.connect(f'ipc://{sim_cloud.vmi_dir}/vmi_rtr')
    # READ_PA (68) of 8 MB: field 68 {1: 0, 2: 8388608}, field 126: 68
    body = bytes([0xA2, 0x04, 0x07, 0x08, 0x00, 0x10, 0x80, 0x80, 0x80, 0x04]) + bytes([0xF0, 0x07, 0x44])
    for _ in range(60):
        peer.send_multipart([b'', body])
    time.sleep(2)
    counted = metrics(work / 'metrics')
    assert counted['furnace_vmi_refused_messages_total', 'slow-r'] > 0, 'more wait than may'
    assert counted['furnace_vmi_outstanding_bytes', 'slow-r'] < 100e6
    assert resident_mb(vmi.pid) < 200
    assert run_app(sim_cloud, 'show(fe.status())') == [1]
    peer.close()
    context.destroy(linger=0)


def test_top_shows_the_apps(sim_cloud, work):
    sim_cloud.start_vmi('--metrics', work / 'metrics')
    app = sim_cloud.start_app(
        '''
import fe
class App:
    def __init__(self, ctx):
        for _ in range(50):
            fe.status()
        fe.read_64_va(8, 0)
        print('done')
''',
        app='busy',
    )
    app.wait_out('done')
    shown = furnace('top', '--once', work / 'metrics').stdout.splitlines()
    assert shown[0].split()[:4] == ['APP', '(totals)', 'MSGS', 'CALLS']
    row = next(line.split() for line in shown if line.startswith('busy-r'))
    assert row[1:4] == ['51', '51', '1'] and all(len(line) <= 80 for line in shown)
    result = furnace('top', work / 'nothing', check=False)
    assert result.returncode == 1 and 'nothing' in result.stderr


def test_the_metrics_socket_is_the_operators(sim_cloud, work):
    sim_cloud.start_vmi('--metrics', work / 'metrics')
    assert (work / 'metrics').stat().st_mode & 0o777 == 0o600
    # Who connects and reads nothing holds nobody up.
    idle = [socket.socket(socket.AF_UNIX) for _ in range(20)]
    for peer in idle:
        peer.setblocking(False)
        try:
            peer.connect(str(work / 'metrics'))
        except BlockingIOError:
            pass
    assert run_app(sim_cloud, 'show(fe.status())') == [1]
    for peer in idle:
        peer.close()


COUNTER = '''
import fe
class App:
    def __init__(self, ctx):
        fe.event_register({'event_type': fe.TIMER, 'time_value': 0.1, 'callback': lambda _: print(fe.get_name(), flush=True)})
'''


@pytest.mark.parametrize('kill', [False, True], ids=['while-the-first-runs', 'after-the-first-was-killed'])
def test_a_second_app_of_one_id_is_refused_and_the_first_is_served_on(sim_cloud, kill):
    sim_cloud.start_vmi()
    first = sim_cloud.start_app(COUNTER)
    first.wait_out('sim')
    if kill:
        first.stop(signal.SIGKILL)
        sim_cloud.start_app(COUNTER).wait_out('sim')
        return
    second = sim_cloud.start_app(COUNTER)
    assert second.wait_end() != 0
    assert re.search(
        rf'app {APP} is connected at \S+ already, by furnace app, pid {first.pid}', second.log
    ), second.log
    said = len(first.out)
    eventually(lambda: len(first.out) > said, what='an answer for the first app')


def test_a_second_app_of_one_id_is_refused_without_a_partition_too(sim_cloud):
    sim_cloud.start_vmi()
    first = sim_cloud.start('app', *sim_cloud.app_arguments(COUNTER), '--unconfined')
    first.wait_out('sim')
    for flags in ([], ['--unconfined']):
        second = sim_cloud.start('app', *sim_cloud.app_arguments(COUNTER), *flags)
        assert second.wait_end() != 0
        assert re.search(
            rf'app {APP} is connected at \S+ already, by furnace app, pid {first.pid}', second.log
        ), second.log
    first.stop(signal.SIGKILL)
    sim_cloud.start('app', *sim_cloud.app_arguments(COUNTER), '--unconfined').wait_out('sim')


def test_a_second_app_of_one_id_is_refused_at_its_storage(sim_cloud, work):
    sim_cloud.start_vmi()
    sim_cloud.start_app(COUNTER).wait_out('sim')
    other = sim_cloud.start(
        'app',
        '-c',
        sim_cloud.source('app', COUNTER),
        '--u2',
        APP,
        '--vmi',
        work / 'another',
        '--fac',
        sim_cloud.fac_dir,
    )
    assert other.wait_end() != 0
    assert f'is connected at {sim_cloud.fac_dir} already' in other.log
