"""Apps, FAC partitions, proxies and backends of 1.0 with ours, in every combination."""

import itertools
import time

import pytest

import peers
from furnace_testing import APP, APPS, eventually


class Chain:
    """An app of 1.0 and what is between it and the backend, of ours or of 1.0."""

    def __init__(self, sim, fac, proxy, backend):
        self.sim, self.foreign = sim, []
        if backend == 'ours':
            self.backend = sim.start_backend(APPS / 'echo_backend')  # does what peers.Backend does
            self.backend.wait_log('listening')
        else:
            self.backend = self._start(peers.Backend(sim.keys, sim.outside))
        if proxy == 'ours':
            sim.start_proxy().wait_log('connected to the backend')
        else:
            self._start(peers.Proxy(sim.keys, sim.inside, sim.outside))
        if fac == 'ours':
            sim.start_fac().wait_log('connected to the proxy')
            self.app = peers.App(APP, f'ipc://{sim.fac_dir}/fac_rtr', f'ipc://{sim.fac_dir}/fac_pub')
        else:
            self.app = peers.App(
                APP, f'tcp://127.0.0.1:{sim.inside}', f'tcp://127.0.0.1:{sim.inside + 1}', sim.keys
            )
        self.foreign.append(self.app)

    def _start(self, peer):
        self.foreign.append(peer.start())
        return peer

    def heard(self):
        """(app, whether it was a request, text) of each message that came to the backend."""
        if isinstance(self.backend, peers.Backend):
            return [(identity[:-2], request, text[:40]) for identity, request, text in self.backend.heard]
        lines = (
            line.split(' ', 2) for line in self.backend.out.splitlines(keepends=True) if line.endswith('\n')
        )
        return [(app, request == 'SYNC', text.rstrip('\n')) for app, request, text in lines]

    def close(self):
        for peer in reversed(self.foreign):
            peer.close()


@pytest.fixture
def chain(sim_cloud):
    """A function that connects app, FAC, proxy and backend, ours or those of 1.0."""
    made = []

    def make(*whose):
        made.append(Chain(sim_cloud, *whose))
        return made[-1]

    yield make
    for each in made:
        each.close()


@pytest.mark.parametrize(
    'whose',
    itertools.product(('ours', 'foreign'), repeat=3),
    ids='fac-{0[0]} proxy-{0[1]} backend-{0[2]}'.format,
)
def test_messages_pass_both_ways(chain, whose):
    made = chain(*whose)
    assert made.app.request('grüß') == (0, 'echo grüß')
    status, large = made.app.request('x' * 5_000_000)
    assert status == 0 and len(large) == 5_000_005
    made.app.notify('notify me')
    assert made.app.next_message() == 'for you'
    # A subscription takes a moment on its way to the backend.
    heard = None
    made.app.broadcasts.rcvtimeo = 500
    for _ in range(20):
        made.app.notify('tell all')
        try:
            heard = made.app.next_broadcast()
            break
        except peers.zmq.Again:
            continue
    assert heard == 'for all'
    numbered = [str(i) for i in range(300)]
    for text in numbered:
        made.app.notify(text)
    eventually(lambda: (APP, False, '299') in made.heard(), 10, 'the last message')
    said = made.heard()
    assert [
        text for app, request, text in said if text in numbered
    ] == numbered, 'all of them, once and in order'
    assert (APP, True, 'grüß') in said and (APP, False, 'notify me') in said
    assert made.app.request('after all') == (0, 'echo after all')


@pytest.mark.parametrize('proxy', ['ours', 'foreign'])
def test_durable_messages_reach_a_backend_of_1_0(chain, sim_cloud, proxy):
    """It knows nothing of numbers: each is a request to it, one after the other, and waits while it is
    away.
    """
    sim_cloud.start_vmi()
    made = chain('ours', proxy, 'foreign')
    made.app.close()  # its name is needed for an app of ours
    made.foreign.remove(made.app)
    made.backend.close()
    app = sim_cloud.start_app(
        '''
import fe
class App:
    def __init__(self, ctx):
        self.next = 0
        fe.event_register({'event_type': fe.TIMER, 'time_value': 0.02, 'callback': self.tick})
    def tick(self, ctx):
        if self.next < 50:
            self.next += fe.notify(f'durable {self.next}', durable=True)
        elif fe.request('asked') == 'echo asked':
            print('answered', flush=True)
            fe.exit()
'''
    )
    time.sleep(0.5)
    again = made._start(peers.Backend(sim_cloud.keys, sim_cloud.outside))
    assert app.wait_end(30) == 0, app.log
    assert app.out == 'answered\n', app.log
    eventually(lambda: len(again.heard) >= 51, 20, 'the durable messages')
    time.sleep(0.5)
    durable = [
        text
        for identity, request, text in again.heard
        if text != 'asked' and identity == f'{APP}-r' and request
    ]
    assert durable == [f'durable {i}' for i in range(50)]
