"""An app's view holds its own socket of the VMI partition and no other, whatever was started, killed or left
behind before.
"""

import itertools
import re
import signal

import pytest
import zmq

from furnace_testing import APPS, eventually

SEES = "['vmi_rtr'] "
FORBIDDEN = 'the operator forbids this app writing to its VM'


class Places:
    """A VMI partition that forbids `reader` to write, and two apps."""

    def __init__(self, sim):
        self.sim, self.running = sim, {}

    def vmi(self):
        self.running['vmi'] = self.sim.start_vmi('--forbid', 'reader=write')

    def kill(self):
        if 'vmi' in self.running:
            self.running['vmi'].stop(signal.SIGKILL)
            self.vmi()

    def app(self, name):
        # Its policy has no rule to list a directory: that it does is told, and let through.
        self.running[name] = self.sim.start(
            'app', '-c', APPS / 'own_socket', '--u2', name, '--vmi', self.sim.vmi_dir, '--audit'
        )

    def reader(self):
        self.app('reader')

    def writer(self):
        self.app('writer')


def lines_from_now_on(app):
    """The last of what it tells, once it has told twice since."""
    told = app.out.count('\n')
    eventually(
        lambda: app.process.poll() is not None or app.out.count('\n') >= told + 2,
        15,
        f'a word of the app:\n{app.log}',
    )
    assert app.process.poll() is None, app.log
    return app.out.splitlines()[-1]


@pytest.mark.parametrize(
    'order', list(itertools.permutations(['vmi', 'kill', 'reader', 'writer'])), ids='-'.join
)
def test_each_app_sees_its_own_socket_in_all_orders(sim_cloud, order):
    """`kill`: kill -9 and a start anew; before the first start it is a partition that was killed and has left
    its sockets.
    """
    places = Places(sim_cloud)
    for step in order:
        if step == 'kill' and 'vmi' not in places.running:
            sim_cloud.start_vmi().stop(signal.SIGKILL)
        else:
            getattr(places, step)()
    for name in ('reader', 'writer'):
        app = places.running[name]
        eventually(
            lambda: app.process.poll() is not None
            or SEES in app.out
            and ' True' in app.out
            or re.search(FORBIDDEN, app.out),
            15,
            app.log,
        )
    reader, writer = (lines_from_now_on(places.running[name]) for name in ('reader', 'writer'))
    assert reader.startswith(SEES) and re.search(FORBIDDEN, reader), reader
    assert writer.startswith(SEES) and writer.endswith(' True'), writer
    assert 'refused' not in places.running['vmi'].log
    for name in ('reader', 'writer'):
        seen = {line.split('] ')[0] for line in places.running[name].out.splitlines()}
        assert seen <= {"['vmi_rtr'", '['}, seen


@pytest.mark.parametrize('end', [signal.SIGTERM, signal.SIGKILL])
def test_a_socket_that_was_left_behind_is_no_partition_of_another_make(sim_cloud, end):
    sim_cloud.start_vmi().stop(end)
    stale = zmq.Context.instance().socket(zmq.ROUTER)  # it would be removed by one of ours that ends in order
    if not (sim_cloud.vmi_dir / 'vmi_rtr').exists():
        stale.bind(f'ipc://{sim_cloud.vmi_dir}/left')
        (sim_cloud.vmi_dir / 'left').rename(sim_cloud.vmi_dir / 'vmi_rtr')
    stale.close()
    app = sim_cloud.start(
        'app', '-c', APPS / 'own_socket', '--u2', 'mine', '--vmi', sim_cloud.vmi_dir, '--audit'
    )
    app.wait_log('no VMI partition serves at')
    assert '--common-socket' not in app.log
    sim_cloud.start_vmi()
    eventually(lambda: SEES in app.out, 15, app.log)


@pytest.fixture
def foreign(sim_cloud):
    """A VMI partition of another make: the common socket, and no lock."""
    sim_cloud.vmi_dir.mkdir()
    router = zmq.Context.instance().socket(zmq.ROUTER)
    router.linger = 0
    router.bind(f'ipc://{sim_cloud.vmi_dir}/vmi_rtr')
    yield router
    router.close()


def test_a_common_socket_is_used_by_the_operators_word(sim_cloud, foreign):
    command = ('app', '-c', APPS / 'own_socket', '--u2', 'mine', '--vmi', sim_cloud.vmi_dir)
    refused = sim_cloud.start(*command)
    assert refused.wait_end(20) == 1 and 'say --common-socket' in refused.log
    served = sim_cloud.start(*command, '--common-socket')
    assert foreign.poll(20_000), served.log
    assert foreign.recv_multipart()[0] == b'mine-r'


def test_a_partition_of_ours_does_not_begin_where_an_app_sees_all_sockets(sim_cloud, foreign):
    served = sim_cloud.start(
        'app', '-c', APPS / 'own_socket', '--u2', 'mine', '--vmi', sim_cloud.vmi_dir, '--common-socket'
    )
    assert foreign.poll(20_000), served.log
    foreign.close()
    late = sim_cloud.start('vmi', 'sim', '--driver', 'simulator', '--vmi', sim_cloud.vmi_dir)
    assert late.wait_end(20) == 1 and 'an app with --common-socket is connected' in late.log, late.log
    served.stop(signal.SIGKILL)
    sim_cloud.start_vmi()


def test_the_common_socket_of_a_partition_of_ours_is_not_given(sim_cloud):
    sim_cloud.start_vmi()
    refused = sim_cloud.start(
        'app', '-c', APPS / 'own_socket', '--u2', 'mine', '--vmi', sim_cloud.vmi_dir, '--common-socket'
    )
    assert refused.wait_end(20) == 1 and 'leave out --common-socket' in refused.log
