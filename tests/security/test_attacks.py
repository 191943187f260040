"""Malicious apps, one a file in attacks/: each is stopped and told, costs its neighbour nothing, and works
without the walls.

An attack's file says in its head what it tries, and what stops it: the system call that ends its partition,
text of the line in the log, 'signal' for what the CPU refuses, or 'refused' for what fails and harms nobody;
`stopped by in fac` names the call where FAC's policy stops it at another one. `needs` names what not every
kernel has: where it is missing the attack is skipped without the walls.
"""

import json
import os
import signal
import socket
import statistics
import subprocess
from pathlib import Path

import pytest

from furnace_testing import BUILD, ROOT, Cloud, eventually
from furnace_testing.attack_checks import assert_stopped, head
from furnace_testing.neighbour import NEIGHBOUR, latencies, start_neighbour

ATTACKS = sorted(
    path for path in (Path(__file__).parent / 'attacks').iterdir() if path.suffix in ('.py', '.c')
)
NATIVE = [path for path in ATTACKS if path.suffix == '.c']

# An attack returns what it got, or raises.
HOST = '''
import json, types
{attack}

class App:
    def __init__(self, ctx):
        import fe
        print('before', flush=True)
        try:
            got = attack(types.SimpleNamespace(**json.loads(ctx['metadata'])))
        except (OSError, ValueError, ImportError) as error:
            print('refused:', error)
            got = None
        if got not in (None, False):
            print('BROKE OUT')
        fe.exit()
'''

# Holds a secret in its environment and its memory, and tells where.
VICTIM = '''
import ctypes, time
secret = ctypes.create_string_buffer(b'SECRET of a victim')
print(ctypes.addressof(secret), flush=True)
time.sleep(600)
'''


@pytest.fixture(scope='module')
def place(tmp_path_factory):
    """A simulated VM, an app that lives beside the attackers, and what they could be after."""
    work = Path(f'/tmp/furnace-attacks-{os.getpid()}')
    work.mkdir()
    (work / 'other').mkdir()
    (work / 'other' / 'secret').write_text('of another tenant')
    cloud = Cloud(work, 'sim', driver='simulator')
    cloud.start_vmi()
    start_neighbour(cloud)
    eventually(lambda: cloud.neighbour.out.count('\n') > 20, 20, 'the neighbour')
    cloud.quiet = latencies(cloud)
    yield cloud
    cloud.stop()
    subprocess.run(['rm', '-rf', work], check=True)


class Targets:
    """What an attack is given: things of the host that it must not reach."""

    def __init__(self, work, confined):
        self.listener = socket.create_server(('127.0.0.1', 0))
        self.abstract = socket.socket(socket.AF_UNIX)
        self.path = socket.socket(socket.AF_UNIX)
        self.victim = subprocess.Popen(
            ['/usr/bin/python3', '-c', VICTIM],
            env={'NAME': 'SECRET'},
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        scratch = work / f'scratch-{os.urandom(4).hex()}'
        scratch.mkdir()
        (scratch / 'trusted').write_text('trusted')
        name = f'furnace-{os.urandom(8).hex()}'
        self.abstract.bind('\0' + name)
        self.path.bind(str(scratch / 'socket'))
        for listening in (self.abstract, self.path):
            listening.listen()
        self.metadata = json.dumps(
            {
                'unconfined': not confined,
                'victim': self.victim.pid,
                'victims_group': self.victim.pid,
                'victims_memory': int(self.victim.stdout.readline()),
                'port': self.listener.getsockname()[1],
                'abstract': name,
                'socket': str(scratch / 'socket'),
                'secret': str(work / 'other' / 'secret'),
                'scratch': str(scratch),
                'other_sockets': [
                    str(work / 'vmi' / NEIGHBOUR / 'vmi_rtr'),
                    '/opt/furnace/vmi_socket/../' + NEIGHBOUR + '/vmi_rtr',
                ],
            }
        )

    def close(self):
        self.victim.kill()
        self.victim.wait()
        for each in (self.listener, self.abstract, self.path, self.victim.stdout):
            each.close()


def run_attack(cloud, attack, *flags):
    """The process of the attack's partition, when it has ended."""
    targets = Targets(cloud.work, '--unconfined' not in flags)
    if attack.suffix == '.c':
        code = cloud.work / f'attack_{os.urandom(4).hex()}'
        subprocess.run(
            [
                'gcc',
                '-O1',
                '-shared',
                '-fPIC',
                '-nostdlib',
                '-fno-stack-protector',
                '-o',
                code.with_suffix('.so'),
                attack,
            ],
            check=True,
        )
    else:
        code = cloud.source('attack', HOST.format(attack=attack.read_text()))
    app = cloud.start(
        'app',
        '-c',
        code,
        '-m',
        'App',
        '--u2',
        'attacker',
        '--md',
        targets.metadata,
        '--fac',
        cloud.fac_dir,
        '--vmi',
        cloud.vmi_dir,
        *flags,
    )
    try:
        app.code = app.wait_end(20)
        app.victim_lives = targets.victim.poll() is None
    finally:
        app.stop(signal.SIGKILL)
        targets.close()
    return app


@pytest.mark.parametrize('attack', ATTACKS, ids=lambda path: path.stem)
def test_it_is_stopped_and_reported(place, attack):
    app = run_attack(place, attack)
    assert app.victim_lives
    assert_stopped(attack, app.code, app.out, app.log, '/usr/bin/furnace-app')


@pytest.mark.parametrize('attack', ATTACKS, ids=lambda path: path.stem)
def test_it_works_without_the_walls(place, attack):
    if os.geteuid() != 0:
        pytest.skip("some need root's rights to work")
    app = run_attack(place, attack, '--unconfined')
    if 'BROKE OUT' not in app.out and 'needs' in head(attack):
        pytest.skip(f"this kernel has no {head(attack)['needs']} to attack by")
    assert 'BROKE OUT' in app.out, (app.code, app.out, app.log)


@pytest.fixture(scope='module')
def programs(tmp_path_factory):
    """Attacks in place of a partition's program."""
    made = tmp_path_factory.mktemp('programs')
    for attack in NATIVE:
        subprocess.run(
            [
                'gcc',
                '-O1',
                '-static',
                '-nostdlib',
                '-fno-stack-protector',
                '-DPROGRAM',
                '-o',
                made / attack.stem,
                attack,
            ],
            check=True,
        )
    return made


# As the launcher adds them.
OWN_RULES = {
    'fac': 'A TEST_ARGS connect {\n  REG_PTR:address|127.0.0.1:5561\n  REG_PTR:address|127.0.0.1:5562\n}\n'
}
# Those of apps are tried in their partitions.
TAKEN_OVER = [
    pytest.param(policy, attack, id=f'{policy}-{attack.stem}')
    for policy in ('vmi-qemu', 'vmi-xen', 'fac', 'drakvuf')
    for attack in NATIVE
]


@pytest.mark.parametrize(('policy', 'attack'), TAKEN_OVER)
def test_who_takes_another_partition_over_is_ended_by_its_policy(programs, policy, attack):
    """tests/xen does it to whole partitions on Xen, with what is Xen's own."""
    program = programs / attack.stem
    rules = programs / f'{policy}.policy'
    rules.write_text(f'INCLUDE {ROOT}/policies/{policy}.policy\n{OWN_RULES.get(policy, "")}')
    ran = subprocess.run(
        [BUILD / 'bin' / 'furnace-inspect', '--policy', rules, '--', program],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert_stopped(attack, ran.returncode, ran.stdout, ran.stderr, program, policy)


def test_the_neighbour_was_served_all_the_time(place, record_property):
    """Last: figures are told, and not compared, for other load on the machine may make any of them."""
    during = latencies(place)[len(place.quiet) :]
    assert place.neighbour.process.poll() is None and len(during) > len(ATTACKS)
    usual, slowest = (statistics.median(each) * 1e6 for each in zip(*during))
    usual_before, slowest_before = (statistics.median(each) * 1e6 for each in zip(*place.quiet))
    print(
        f'\nthe neighbour\'s read_64_va: {usual:.0f} us, slowest of 20 {slowest:.0f} us; before the attacks'
        f' {usual_before:.0f} and {slowest_before:.0f} us'
    )
