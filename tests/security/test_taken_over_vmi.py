"""A guest or an app that has taken furnace-vmi over: what it can do to QEMU and its host with all that the
partition holds.

Each attack is shown to work where QEMU's own connections are at hand, as they were before there was a broker,
and to get nothing through the partition's: there it is sent to every connection. taken_over.py runs in the
partition, without a policy, for what the broker gives away must not rest on another wall.
"""

import json
import os
import re
import shlex
import signal
import socket
import subprocess
import time
from pathlib import Path

import pytest

from furnace_testing import FURNACE, eventually, furnace
from furnace_testing.bare_qemu import RAM, Monitor, Qemu, command, human
from furnace_testing.broker import (
    ALL,
    INSERT,
    OPEN_STUB,
    PAUSE,
    POLL,
    READ,
    REGISTERS,
    REMOVE,
    RESUME,
    RUN,
    RUN_ONE,
    STEP,
    STUB_REGISTERS,
    WATCH,
    WRITE,
    ask,
    cells_of,
    number_in,
    read_places,
    succeeded,
)

INSIDE = Path(__file__).with_name('taken_over.py').read_text()


@pytest.fixture
def qemu(tmp_path):
    """A QEMU of this test."""
    running = Qemu(tmp_path)
    yield running
    running.stop()


def attack_from_inside(qemu, *flags, seconds=60, **task):
    """Runs taken_over.py in the place of furnace-vmi; what it tells."""
    script = f'exec /usr/bin/python3 -c {shlex.quote(INSIDE)}\n{json.dumps(task)}\n'
    ran = subprocess.run(
        [FURNACE, 'vmi', qemu.name, '--vmi', qemu.directory / 'vmi', '--shell', *flags],
        input=script,
        capture_output=True,
        text=True,
        timeout=seconds,
    )
    lines = [line for line in ran.stdout.splitlines() if line.startswith('{')]
    assert lines, (ran.stdout, ran.stderr)
    return json.loads(lines[-1])


# Each: what is sent to QMP, and whether it worked, by what is left in the directory or of QEMU.
def leaves(name):
    return lambda qemu: (qemu.directory / name).exists()


def ended(qemu):
    return qemu.process.poll() is not None


def answers_with(name, text):
    return lambda qemu: text in json.dumps(qemu.ask(name))


ON_QMP = {
    'runs a command of the host': (lambda d: command('migrate', uri=f'exec:touch {d}/ran'), leaves('ran')),
    'writes memory to a file': (lambda d: human(f'pmemsave 0 4096 "{d}/saved"'), leaves('saved')),
    'writes memory to a file by its own command': (
        lambda d: command('pmemsave', val=0, size=4096, filename=f'{d}/saved'),
        leaves('saved'),
    ),
    'writes virtual memory to a file': (
        lambda d: command('memsave', val=0, size=16, filename=f'{d}/saved', cpu_index=0),
        leaves('saved'),
    ),
    'dumps the guest to a file': (
        lambda d: command('dump-guest-memory', paging=False, protocol=f'file:{d}/dump'),
        leaves('dump'),
    ),
    'makes a file by a character device': (
        lambda d: command('chardev-add', id='x', backend={'type': 'file', 'data': {'out': f'{d}/made'}}),
        leaves('made'),
    ),
    'listens on a socket': (
        lambda d: command(
            'chardev-add',
            id='x',
            backend={
                'type': 'socket',
                'data': {
                    'server': True,
                    'wait': False,
                    'addr': {'type': 'unix', 'data': {'path': f'{d}/listens'}},
                },
            },
        ),
        leaves('listens'),
    ),
    'makes a file by a memory backend': (
        lambda d: command(
            'object-add',
            qom_type='memory-backend-file',
            id='x',
            mem_path=f'{d}/backed',
            size=4096,
            share=True,
        ),
        leaves('backed'),
    ),
    'writes QEMU\'s log to a file': (lambda d: human(f'logfile {d}/log') + human('log exec'), leaves('log')),
    'opens a port of the debugger': (
        lambda d: human(f'gdbserver unix:{d}/debug,server=on,wait=off'),
        leaves('debug'),
    ),
    'opens a file as a disk': (
        lambda d: command(
            'blockdev-add', driver='file', node_name='x', filename='/etc/shadow', read_only=True
        ),
        answers_with('query-named-block-nodes', '/etc/shadow'),
    ),
    'opens a disk by the human monitor': (
        lambda d: human('drive_add 0 if=none,id=y,file=/etc/shadow,format=raw,readonly=on'),
        answers_with('query-block', '/etc/shadow'),
    ),
    'reads a secret of the host': (
        lambda d: command('object-add', qom_type='secret', id='sec', file='/etc/hostname'),
        lambda qemu: 'sec' in json.dumps(qemu.ask('qom-list', path='/objects')),
    ),
    'connects to the network': (
        lambda d: command('netdev_add', type='user', id='net'),
        lambda qemu: 'net' in qemu.ask('human-monitor-command', command_line='info network')['return'],
    ),
    'ends QEMU': (lambda d: command('quit'), ended),
    'serves disks to the network': (
        lambda d: command('nbd-server-start', addr={'type': 'unix', 'data': {'path': f'{d}/nbd'}}),
        leaves('nbd'),
    ),
    'sends QEMU\'s state away': (
        lambda d: command('migrate', uri=f'unix:{d}/away'),
        lambda qemu: 'failed' in json.dumps(qemu.ask('query-migrate')['return']),
    ),
    'opens another monitor': (
        lambda d: human(f'chardev-add socket,id=m,path={d}/monitor,server=on,wait=off'),
        leaves('monitor'),
    ),
    'writes the screen to a file': (
        lambda d: command('object-add', qom_type='filter-dump', id='f', netdev='n', file=f'{d}/packets')
        + command('chardev-add', id='p', backend={'type': 'pipe', 'data': {'device': f'{d}/ramfile'}})
        + command('chardev-add', id='q', backend={'type': 'file', 'data': {'out': f'{d}/screen'}}),
        leaves('screen'),
    ),
}


def settled(worked, qemu):
    """Whether it has worked after the time that a command may take."""
    end = time.monotonic() + 1
    while time.monotonic() < end:
        if worked(qemu):
            return True
        time.sleep(0.05)
    return worked(qemu)


@pytest.mark.parametrize('name', ON_QMP)
def test_with_qmp_itself_it_works(qemu, name):
    text, worked = ON_QMP[name]
    monitor = Monitor(qemu.directory / 'qmp')
    monitor.send(text(qemu.directory))
    eventually(lambda: worked(qemu), 5, name)
    monitor.close()


@pytest.mark.parametrize('name', ON_QMP)
def test_through_the_broker_it_gets_nothing(qemu, name):
    text, worked = ON_QMP[name]
    found = attack_from_inside(qemu, texts=[text(qemu.directory)])
    assert found['connections'] >= 2
    assert not settled(worked, qemu) and qemu.runs(), found
    assert 'return' not in json.dumps(found['said'])


def gdb(payload):
    return f'${payload}#{sum(payload.encode()) & 0xff:02x}'


def stub_of(qemu):
    """The gdb stub's own connection."""
    port = qemu.directory / 'debugger'
    qemu.ask('human-monitor-command', command_line=f'gdbserver unix:{port},server=on,wait=off')
    stub = socket.socket(socket.AF_UNIX)
    stub.connect(str(port))
    stub.settimeout(2)
    return stub


ON_STUB = {
    'runs a command of the human monitor': (
        lambda d: gdb('qRcmd,' + f'pmemsave 0 4096 "{d}/by-stub"'.encode().hex()),
        leaves('by-stub'),
    ),
    'ends QEMU by a packet': (lambda d: gdb('k'), ended),
    'ends QEMU by another packet': (lambda d: gdb('vKill;1'), ended),
}


@pytest.mark.parametrize('name', ON_STUB)
def test_with_the_stub_itself_it_works(qemu, name):
    text, worked = ON_STUB[name]
    with stub_of(qemu) as stub:
        stub.sendall(b'+' + text(qemu.directory).encode())
        eventually(lambda: worked(qemu), 5, name)


@pytest.mark.parametrize('name', ON_STUB)
def test_through_the_brokers_stub_it_gets_nothing(qemu, name):
    """The stub is opened first: then the broker has its connection."""
    text, worked = ON_STUB[name]
    found = attack_from_inside(qemu, requests=[ask(OPEN_STUB)], texts=[text(qemu.directory)])
    assert succeeded(found['answers'][0])
    assert not settled(worked, qemu), found
    eventually(qemu.runs, 10, 'the guest to run on')


def test_what_the_broker_is_for_works(qemu):
    """Without this the others would pass where nothing is answered."""
    found = attack_from_inside(
        qemu,
        requests=[
            ask(REGISTERS),
            ask(WRITE, address=0x1000, length=16),
            ask(READ, address=0x1000, length=16),
            ask(PAUSE),
            ask(RESUME),
        ],
    )
    assert all(succeeded(answer) for answer in found['answers']), found
    assert [number_in(answer) for answer in found['answers'][1:3]] == [16, 16]


def test_where_writes_are_forbidden_to_all_the_broker_makes_none(qemu):
    found = attack_from_inside(
        qemu,
        '--forbid',
        'write',
        requests=[ask(WRITE, address=0x1000, length=16), ask(READ, address=0x1000, length=16)],
    )
    assert [succeeded(answer) for answer in found['answers']] == [False, True]


OUTSIDE = {
    'behind RAM': (RAM, 8),
    'far behind RAM': (1 << 40, 8),
    'the last address': (ALL - 7, 8),
    'over the end of RAM': (RAM - 4, 8),
    'an address of QEMU\'s own': (0x7F0000000000, 64),
    'no bytes': (0x1000, 0),
    'all bytes': (0, ALL),
    'over the end of numbers': (ALL, ALL),
}


@pytest.mark.parametrize('place', OUTSIDE)
def test_memory_outside_of_ram_is_not_read_or_written(qemu, place):
    gpa, length = OUTSIDE[place]
    found = attack_from_inside(
        qemu,
        requests=[
            ask(READ, address=gpa, length=length),
            ask(WRITE, address=gpa, length=length),
            read_places((gpa, length), (0x1000, 8), (gpa, length)),
            ask(REGISTERS),
        ],
    )
    read, written, places, after = found['answers']
    inside = max(0, min(length, RAM - gpa, 1 << 20))  # what goes through the shared memory at once
    assert number_in(read) == number_in(written) == inside
    assert [len(cell) for cell in cells_of(places)] == [min(inside, 64), 8, min(inside, 64)]
    assert succeeded(after) and qemu.runs()


MALFORMED = {
    'half a message': '00' * 20,
    'an empty message': '',
    'one byte': '0a',
    'a message without end': 'ff' * 100_000,
    'an unknown request': ask(99),
    'the last unknown request': ask(255),
}


@pytest.mark.parametrize('name', MALFORMED)
def test_malformed_messages_end_the_broker_or_get_an_error(qemu, name):
    found = attack_from_inside(qemu, requests=[MALFORMED[name], ask(REGISTERS)])
    assert not succeeded(found['answers'][0])
    eventually(qemu.runs, 10, 'the guest')
    eventually(
        lambda: furnace('ps', qemu.name, check=False).stderr.count('held by') == 0,
        10,
        'the socket to be free',
    )


REFUSED = {
    'a vCPU that is not there': ask(REGISTERS, number=2),
    'a vCPU of a huge number': ask(REGISTERS, number=ALL),
    'the registers of the stub that is closed': ask(STUB_REGISTERS),
    'a step without the stub': ask(STEP),
    'a point without the stub': ask(INSERT, kind=0, address=0x1000, length=1),
    'a request of Xen': ask(WATCH),
    'more places than an answer holds': read_places(*[(0x1000, 8)] * 300),
}
REFUSED_AT_STUB = {
    'a point of no bytes': ask(INSERT, kind=2, address=0x1000, length=0),
    'a point of all bytes': ask(INSERT, kind=2, address=0x1000, length=ALL),
    'a hardware breakpoint': ask(INSERT, kind=1, address=0x1000, length=1),
    'a point of an unknown kind': ask(INSERT, kind=77, address=0x1000, length=1),
    'the removal of what is not there': ask(REMOVE, kind=0, address=0x1000, length=1),
    'a step of a vCPU that is not there': ask(STEP, number=17),
    'a register of a vCPU that is not there': ask(STUB_REGISTERS, number=ALL),
}


@pytest.mark.parametrize('name', [*REFUSED, *REFUSED_AT_STUB])
def test_it_is_refused_and_the_broker_continues(qemu, name):
    before = [] if name in REFUSED else [ask(OPEN_STUB)]
    found = attack_from_inside(qemu, requests=[*before, (REFUSED | REFUSED_AT_STUB)[name], ask(REGISTERS)])
    assert not succeeded(found['answers'][-2]) and succeeded(found['answers'][-1]), found
    eventually(qemu.runs, 10, 'the guest to run on')


def test_points_are_limited(qemu):
    found = attack_from_inside(
        qemu,
        requests=[
            ask(OPEN_STUB),
            *[ask(INSERT, address=0x1000 + i, length=1) for i in range(4100)],
            ask(REGISTERS),
        ],
    )
    taken = [succeeded(answer) for answer in found['answers'][1:-1]]
    assert taken == [True] * 4096 + [False] * 4 and succeeded(found['answers'][-1])
    eventually(qemu.runs, 10, 'the guest to run on')


@pytest.mark.parametrize('held', ['paused', 'at the stub', 'at the stub that runs one vCPU for long'])
def test_a_guest_is_not_held_beyond_the_partition(qemu, held):
    requests = {
        'paused': [ask(PAUSE)],
        'at the stub': [ask(OPEN_STUB), ask(INSERT, address=0xFFFFFFF0, length=1)],
        'at the stub that runs one vCPU for long': [ask(OPEN_STUB), ask(RUN_ONE, length=ALL)],
    }[held]
    script = (
        'exec /usr/bin/python3 -c'
        f' {shlex.quote(INSIDE)}\n{json.dumps({"requests": requests, "hold": True})}\n'
    )
    partition = subprocess.Popen(
        [FURNACE, 'vmi', qemu.name, '--vmi', qemu.directory / 'vmi', '--shell'],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    partition.stdin.write(script)
    partition.stdin.flush()
    assert all(succeeded(answer) for answer in json.loads(partition.stdout.readline())['answers'])
    assert not qemu.runs()
    partition.kill()
    partition.wait()
    eventually(qemu.runs, 10, 'the guest to run on')


def test_requests_without_end_cost_the_guest_nothing_when_the_partition_ends(qemu):
    found = attack_from_inside(qemu, requests=[ask(RUN)] * 20 + [ask(POLL)] * 200 + [ask(REGISTERS)])
    assert any(succeeded(answer) for answer in found['answers'][-200:])
    assert qemu.runs()


def brokers_of(launcher):
    """The broker that the launcher has started."""
    found = []
    for entry in Path('/proc').glob('[0-9]*'):
        try:
            if (entry / 'comm').read_text().strip() == 'furnace-broker' and f'\nPPid:\t{launcher}\n' in (
                entry / 'status'
            ).read_text():
                found.append(entry)
        except OSError:
            continue
    return found


def test_the_broker_holds_what_it_needs_and_has_no_privileges(qemu):
    partition = subprocess.Popen(
        [FURNACE, 'vmi', qemu.name, '--vmi', qemu.directory / 'vmi', '--shell'],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        (broker,) = eventually(lambda: brokers_of(partition.pid), 10, 'the broker')
        eventually(lambda: 'Seccomp:\t2' in (broker / 'status').read_text(), 10, 'its filter')
        status = (broker / 'status').read_text()
        assert 'NoNewPrivs:\t1' in status and re.search(r'^CapEff:\t0+$', status, re.M)
        if os.geteuid() == 0:
            assert not re.search(r'^[UG]id:.*\b0\b', status, re.M) and re.search(
                r'^Groups:\s*$', status, re.M
            )
        names = sorted(os.readlink(each) for each in (broker / 'fd').iterdir())
        kinds = sorted(re.sub(r'[\d\[\]]+', '', name) for name in names if name != '/dev/null')
        # One socket is for visitors; the pipe tells its borrower of its end.
        assert kinds == [
            '/proc//mem',
            'anon_inode:pidfd',
            'pipe:',
            'socket:',
            'socket:',
            'socket:',
            'socket:',
            'socket:',
        ], names
    finally:
        partition.send_signal(signal.SIGKILL)
        partition.wait()


def test_the_partition_holds_nothing_of_qemu(qemu):
    """Of its descriptors none is QEMU's: no monitor, no memory of the process, no descriptor of a process."""
    script = 'for fd in /proc/self/fd/*; do readlink $fd; done; exit\n'
    ran = subprocess.run(
        [FURNACE, 'vmi', qemu.name, '--vmi', qemu.directory / 'vmi', '--shell'],
        input=script,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert 'socket:' in ran.stdout or 'memfd' in ran.stdout, (ran.stdout, ran.stderr)
    assert not any(line.endswith('/mem') for line in ran.stdout.splitlines()) and 'pidfd' not in ran.stdout
