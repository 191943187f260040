"""A guest or a file that has taken over what reads it for a command (`furnace ps`, `profile`, `vm snapshot`).

reader_attacks.c runs in the place of furnace-reader, with all that it holds, one attack at a time: inside the
walls, where it must not work, and without them, where it must. What it reports to its command is hostile as
well.
"""

import os
import re
import shutil
import signal
import subprocess
import time
from pathlib import Path

import pytest

from furnace_testing import BUILD, FURNACE, ROOT, eventually, furnace
from furnace_testing.bare_qemu import RAM, Qemu
from furnace_testing.broker import DESCRIBE, PAUSE, POLL, READ, REGISTERS, RESUME, STATE

SOURCE = Path(__file__).with_name('reader_attacks.c')
SHARED = (
    '-object',
    f'memory-backend-memfd,id=ram,size={RAM >> 20}M,share=on',
    '-machine',
    'memory-backend=ram',
)
ASKED = {REGISTERS, PAUSE, RESUME, STATE, POLL, READ}


@pytest.fixture(scope='module', params=[SHARED, ()], ids=['RAM is a file', 'RAM is private'])
def qemu(request, tmp_path_factory):
    """A QEMU whose RAM is a file, and one whose RAM is private."""
    running = Qemu(tmp_path_factory.mktemp('qemu'), *request.param)
    yield running
    running.stop()


@pytest.fixture(scope='module')
def sharing_qemu(tmp_path_factory):
    """A QEMU whose RAM is a file."""
    running = Qemu(tmp_path_factory.mktemp('sharing'), *SHARED)
    yield running
    running.stop()


class Place:
    """An operator's roots, and a copy of furnace's programs, whose readers are attacks."""

    def __init__(self, directory):
        self.root = directory / 'dir' / 'reader_filesystem'
        self.programs = directory / 'bin'
        self.environment = {**os.environ, 'FURNACE_DIR': str(directory / 'dir')}
        (directory / 'dir').mkdir()
        self.programs.mkdir()
        furnace('rootfs', 'build', 'reader', '-o', self.root)
        shutil.copy(FURNACE, self.programs)
        (directory / 'policies').symlink_to(ROOT / 'policies')

    def put(self, attack):
        made = self.programs / 'furnace-reader'
        subprocess.run(
            [
                'gcc',
                '-O1',
                '-static',
                '-nostdlib',
                '-fno-stack-protector',
                f'-DNAME={attack}',
                '-o',
                made,
                SOURCE,
            ],
            check=True,
        )
        inside = self.root / 'usr/bin/furnace-reader'
        inside.unlink()
        shutil.copy(made, inside)
        inside.chmod(0o755)

    def run(self, *arguments, seconds=60):
        return subprocess.run(
            [self.programs / 'furnace', *arguments],
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=seconds,
        )


@pytest.fixture(scope='module')
def place(tmp_path_factory):
    """Copies of our programs, whose readers are attacks."""
    directory = Path(f'/tmp/furnace-readers-{os.getpid()}')
    directory.mkdir()
    yield Place(directory)
    shutil.rmtree(directory)


OUT = [
    'reads_a_file_of_the_host',
    'makes_a_file',
    'opens_a_tcp_socket',
    'opens_a_unix_socket',
    'executes_a_program',
    'forks',
    'takes_memory',
    'takes_shared_memory',
    'writes_to_the_guest',
    'traces_its_parent',
]


@pytest.mark.parametrize('attack', OUT)
def test_without_walls_it_works(place, sharing_qemu, attack):
    place.put(attack)
    ran = place.run('ps', sharing_qemu.name, '--unconfined')
    assert 'NOT CONFINED' in ran.stderr and 'BROKE OUT' in ran.stderr, ran.stderr
    Path('/tmp/furnace-reader-was-here').unlink(missing_ok=True)


@pytest.mark.parametrize('command', ['ps', 'profile find'])
@pytest.mark.parametrize('attack', OUT)
def test_inside_the_walls_it_gets_nothing(place, qemu, attack, command):
    place.put(attack)
    ran = place.run(*command.split(), qemu.name)
    assert 'BROKE OUT' not in ran.stderr and ran.returncode == 1 and ran.stdout == '', ran
    assert not Path('/tmp/furnace-reader-was-here').exists()
    assert qemu.runs()


def test_its_broker_only_lets_it_look(place, qemu):
    """Each request that a broker knows, and QMP's own words."""
    place.put('asks_for_everything')
    ran = place.run('ps', qemu.name)
    asked = {int(number) for number in re.findall(r'ASKED (\d+)', ran.stderr)}
    assert {REGISTERS, PAUSE, RESUME, STATE, POLL} <= asked <= ASKED, ran.stderr
    assert DESCRIBE not in asked
    eventually(qemu.runs, 10, 'the guest to run on')


def test_beside_a_partition_too(place, qemu, tmp_path):
    partition = subprocess.Popen(
        [FURNACE, 'vmi', qemu.name, '--vmi', tmp_path / 'vmi'], stderr=subprocess.PIPE, text=True
    )
    try:
        for line in partition.stderr:
            if 'serving VM' in line:
                break
        place.put('asks_for_everything')
        ran = place.run('ps', qemu.name)
        asked = {int(number) for number in re.findall(r'ASKED (\d+)', ran.stderr)}
        assert {REGISTERS, PAUSE, RESUME, STATE, POLL} <= asked <= ASKED, ran.stderr
        assert partition.poll() is None
    finally:
        partition.terminate()
        partition.wait()
    eventually(qemu.runs, 10, 'the guest to run on')


REFUSED = [
    'reports_noise',
    'reports_a_huge_record',
    'reports_what_nobody_asked_for',
    'reports_a_text_longer_than_its_record',
    'reports_more_after_its_end',
    'reports_processes_without_end',
    'reports_a_profile_without_end',
]
SHORT = ['reports_half_a_record', 'reports_nothing']


def peak_until_end(process):
    """The most memory that a process has, in KB. (ru_maxrss is no less than what the test itself had at the
    fork.)
    """
    peak = 0
    while process.poll() is None:
        found = re.search(r'VmHWM:\s+(\d+)', Path(f'/proc/{process.pid}/status').read_text())
        peak = max(peak, int(found[1]) if found else 0)
        time.sleep(0.01)
    return peak


@pytest.mark.parametrize('attack', [*REFUSED, *SHORT])
def test_a_false_report_is_refused(place, sharing_qemu, attack):
    """In bounded time and memory, and nothing of it is shown or stored."""
    place.put(attack)
    before = sorted(BUILD.glob('cache/profiles/**/*'))
    start = time.monotonic()
    command = subprocess.Popen(
        [place.programs / 'furnace', 'ps', sharing_qemu.name],
        env=place.environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    peak_kb = peak_until_end(command)
    out, errors = command.stdout.read(), command.stderr.read()
    assert command.returncode == 1 and out == '', (out, errors)
    assert ('is refused' if attack in REFUSED else 'exited before its report was complete') in errors, errors
    assert time.monotonic() - start < 30 and peak_kb < 300 << 10, peak_kb
    assert sorted(BUILD.glob('cache/profiles/**/*')) == before


def test_what_it_logs_without_end_is_limited(place, sharing_qemu):
    place.put('logs_without_end')
    command = subprocess.Popen(
        [place.programs / 'furnace', 'ps', sharing_qemu.name],
        env=place.environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    read = 0
    os.set_blocking(command.stderr.fileno(), False)
    end = time.monotonic() + 5
    while time.monotonic() < end:
        read += len(command.stderr.read(1 << 20) or b'')
        time.sleep(0.01)
    command.kill()
    command.communicate()
    assert 0 < read < 2 << 20


def test_a_snapshot_that_it_writes_without_end_is_limited(place, sharing_qemu, tmp_path):
    place.put('writes_without_end')
    ran = place.run('vm', 'snapshot', sharing_qemu.name, tmp_path / 'file')
    assert ran.returncode == 1 and list(tmp_path.iterdir()) == [], ran
    most = int(re.search(r'WROTE (\d+)', ran.stderr)[1])
    assert RAM <= most << 20 < 4 * RAM


def test_nothing_stays_of_it_when_its_command_is_killed(place, sharing_qemu):
    place.put('never_ends')
    command = subprocess.Popen(
        [place.programs / 'furnace', 'ps', sharing_qemu.name],
        env=place.environment,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert 'NEVER ENDS' in command.stderr.readline()
    assert left_of(sharing_qemu)
    command.kill()
    command.communicate()
    eventually(lambda: not left_of(sharing_qemu), 10, 'the end of the reader')
    eventually(sharing_qemu.runs, 10, 'the guest to run on')


@pytest.mark.parametrize('how', [signal.SIGKILL, signal.SIGINT, signal.SIGTERM], ids=lambda how: how.name)
def test_nothing_stays_of_it_at_whatever_moment_its_command_is_ended(place, sharing_qemu, tmp_path, how):
    """Bubblewrap has a moment at its start in which its child does not end with it."""
    place.put('never_ends')
    for moment in range(0, 160, 4):
        command = subprocess.Popen(
            [place.programs / 'furnace', 'vm', 'snapshot', sharing_qemu.name, tmp_path / 'file'],
            env=place.environment,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        time.sleep(moment / 1000)
        command.send_signal(how)
        command.wait(20)
        eventually(
            lambda: not left_of(sharing_qemu),
            10,
            f'the end of a reader that was to end after {moment} ms: {left_of(sharing_qemu)}',
        )
    eventually(sharing_qemu.runs, 10, 'the guest to run on')


def left_of(qemu):
    """Processes that have to do with this VM, but for itself; one that has exited has no command line."""
    return [
        f'{process.name}: {name_of(process)}'
        for process in Path('/proc').glob('[0-9]*')
        if qemu.name in name_of(process) and not name_of(process).startswith('qemu-system')
    ]


def name_of(process):
    try:
        return (process / 'cmdline').read_text()
    except OSError:
        return ''
