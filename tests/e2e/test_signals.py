"""SIGTERM, SIGINT and Ctrl-C end each long-running command in order: with the exit code that
docs/operators.md promises, without a traceback, and nothing stays: no process, no socket, no temporary
file."""

import os
import shutil
import signal
import sqlite3
import stat
import subprocess
import time
from pathlib import Path

import pytest

from furnace_testing import APP, BUILD, ROOT, RUN, Cloud, Process, eventually, furnace

# How a command is ended, and the exit code of one that was interrupted. Ctrl-C reaches all processes of the
# terminal's job.
WAYS = {
    'SIGINT': (lambda pid: os.kill(pid, signal.SIGINT), 130),
    'SIGTERM': (lambda pid: os.kill(pid, signal.SIGTERM), 143),
    'Ctrl-C': (lambda pid: os.killpg(pid, signal.SIGINT), 130),
}

IDLE = 'import fe\nclass App:\n    def __init__(self, ctx): print("up", flush=True)\n'
IN_CONSTRUCTOR = (
    'import fe, time\nclass App:\n    def __init__(self, ctx):\n        print("up", flush=True)\n       '
    ' time.sleep(60)\n'
)
BUSY = (
    'import fe\nclass App:\n    def __init__(self, ctx):\n        print("up", flush=True)\n        while'
    ' True: pass\n'
)
IN_CALLBACK = '''
import fe, time
class App:
    def __init__(self, ctx):
        fe.event_register({'event_type': fe.TIMER, 'time_value': 0.05, 'callback': self.tick})
    def tick(self, ctx):
        print("up", flush=True)
        time.sleep(60)
'''
IDLE_BACKEND = '''
import be
class AppBE:
    def __init__(self, ctx):
        be.event_register({'event_type': be.FE, 'callback': lambda ctx: ''})
'''
# A QEMU that takes connections and says nothing.
SILENT_QEMU = '''
import socket, sys, time
listening = socket.socket(socket.AF_UNIX)
listening.bind(sys.argv[1])
listening.listen()
connection, _ = listening.accept()
open(sys.argv[1] + '.taken', 'w').close()
time.sleep(60)
'''


def descendants(pid):
    """The process and all below it, as (pid, start time): numbers are used again."""
    found, look_at = set(), [pid]
    while look_at:
        each = look_at.pop()
        try:
            found.add((each, Path(f'/proc/{each}/stat').read_text().rsplit(')', 1)[1].split()[19]))
            for task in Path(f'/proc/{each}/task').iterdir():
                look_at += map(int, (task / 'children').read_text().split())
        except (FileNotFoundError, ProcessLookupError):
            continue
    return found


def alive(processes):
    """Those that still run; a zombie is its parent's to take."""
    running = set()
    for pid, start in processes:
        try:
            fields = Path(f'/proc/{pid}/stat').read_text().rsplit(')', 1)[1].split()
        except (FileNotFoundError, ProcessLookupError):
            continue
        if fields[19] == start and fields[0] != 'Z':
            running.add(pid)
    return running


def passing_files(*directories):
    """Sockets, and files that are there only while something is made."""
    found = set()
    for directory in directories:
        for path in Path(directory).rglob('*'):
            try:
                if stat.S_ISSOCK(path.lstat().st_mode) or path.suffix in ('.tmp', '.partial', '.new', '.old'):
                    found.add(path)
            except FileNotFoundError:
                continue
    return found


class Bench:
    """Starts one command, and what it needs; knows what was there before."""

    def __init__(self, work):
        self.work = work
        self.cloud = Cloud(work, 'sim', driver='simulator')
        self.others = []
        self.places = (work, RUN, BUILD / 'cache')
        self.process = None

    def passing_files(self):
        """But for those of a VMI partition that serves on: it makes a socket for each app."""
        files = passing_files(*self.places)
        return {file for file in files if not (self.cloud.processes and self.cloud.vmi_dir in file.parents)}

    def start(self, *arguments, **options):
        self.before = self.passing_files()
        self.process = Process(self.work, 'tested', *arguments, start_new_session=True, **options)
        return self.process

    def silent_qemu(self):
        """The name of a VM whose QMP socket never answers, and the file that appears when it is connected
        to.
        """
        emulator = self.work / 'qemu-system-x86_64'
        emulator.symlink_to('/usr/bin/python3')
        path = self.work / 'silent'
        name = f'silent-{os.getpid()}'
        self.others.append(
            subprocess.Popen(
                [emulator, '-c', SILENT_QEMU, path, '-name', name, '-qmp', f'unix:{path},server=on']
            )
        )
        eventually(path.exists, 10, 'stand-in')
        return name, path.with_name('silent.taken')

    def stop(self):
        if self.process and self.process.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.process.wait()
        for other in self.others:
            other.kill()
            other.wait()
        self.cloud.stop()


@pytest.fixture
def bench(work):
    """What each command needs to run until a signal comes."""
    made = Bench(work)
    yield made
    made.stop()


def check_end(bench, way, code):
    """Ends the command, and looks for what may have stayed."""
    send, _ = WAYS[way]
    family = descendants(bench.process.pid)
    send(bench.process.pid)
    assert bench.process.wait_end(15) == code, bench.process.log
    assert not any(
        word in bench.process.log for word in ('terminate called', 'Traceback', 'raised', 'KeyboardInterrupt')
    ), bench.process.log
    eventually(
        lambda: not alive(family),
        12,
        f'end of {[(pid, Path(f"/proc/{pid}/cmdline").read_bytes()) for pid in alive(family)]}',
    )
    eventually(
        lambda: not bench.passing_files() - bench.before, 5, f'{bench.passing_files() - bench.before} stayed'
    )


def vmi(bench, *flags):
    bench.start('vmi', 'sim', '--driver', 'simulator', '--vmi', bench.work / 'vmi', *flags).wait_log(
        'serving VM'
    )


def app(bench, code, *flags):
    bench.cloud.start_vmi()
    bench.start(
        'app', '-c', bench.cloud.source('app', code), '--u2', APP, '--vmi', bench.cloud.vmi_dir, *flags
    ).wait_out('up')


def fac(bench, *flags):
    bench.start('fac', *bench.cloud.fac_arguments(), *flags).wait_log('serving app')


def proxy(bench, *flags):
    bench.start(
        'proxy',
        '--ip',
        '127.0.0.1',
        '--it',
        bench.cloud.inside,
        '--ep',
        '127.0.0.1',
        '--et',
        bench.cloud.outside,
        *flags,
    ).wait_log('relaying')


def message_proxy(bench):
    proxy(bench, '--ak', bench.cloud.keys / 'app.key', '--bk', bench.cloud.keys / 'be.key')


def backend(bench, *flags):
    keys = bench.cloud.keys
    bench.start(
        'backend',
        '-c',
        bench.cloud.source('be', IDLE_BACKEND),
        '--ep',
        '127.0.0.1',
        '--et',
        bench.cloud.outside,
        '--ak',
        keys / 'app.key',
        '--bk',
        keys / 'be.key',
        *flags,
    ).wait_log('listening')


def run(bench, manifest, up, code=IDLE):
    (bench.work / 'app.py').write_text(code)
    (bench.work / 'furnace.toml').write_text(manifest)
    bench.start('run', 'my-app', '--manifest', bench.work / 'furnace.toml').wait_log(up)


SIMULATED = '[vm]\nname = "sim"\ndriver = "simulator"\n'

SERVICES = {
    'vmi': vmi,
    'vmi --unconfined': lambda bench: vmi(bench, '--unconfined'),
    'vmi --metrics': lambda bench: vmi(bench, '--metrics', bench.work / 'metrics'),
    'app': lambda bench: app(bench, IDLE),
    'app --unconfined': lambda bench: app(bench, IDLE, '--unconfined'),
    'app in its constructor': lambda bench: app(bench, IN_CONSTRUCTOR),
    'app in a callback': lambda bench: app(bench, IN_CALLBACK),
    'app that is busy': lambda bench: app(bench, BUSY),
    'fac': fac,
    'fac --unconfined': lambda bench: fac(bench, '--unconfined'),
    'proxy': message_proxy,
    'proxy --blind': lambda bench: proxy(bench, '--blind'),
    'backend': backend,
    'backend --router --workers': lambda bench: backend(bench, '--router', '--workers', 4),
    'run': lambda bench: run(bench, SIMULATED, 'app is ready'),
    'run before an app starts again': lambda bench: run(
        bench,
        SIMULATED,
        'starts again in [24]',
        'import os\nclass App:\n    def __init__(self, ctx): os._exit(3)\n',
    ),
    'run that waits for its VM': lambda bench: run(
        bench, 'wait_for_vm = true\n[vm]\nname = "no-such-vm"\n', 'waiting for it'
    ),
    'top --serve': lambda bench: (
        bench.start('top', '--serve', bench.work / 'top'),
        eventually((bench.work / 'top').exists),
    ),
}


@pytest.mark.parametrize('way', WAYS)
@pytest.mark.parametrize('service', SERVICES)
def test_a_service_ends_in_order(bench, service, way):
    SERVICES[service](bench)
    check_end(bench, way, 0)


@pytest.mark.parametrize('kind', ['vmi', 'app', 'fac', 'run'])
def test_a_service_that_is_starting_ends_at_once(bench, kind):
    """A signal may come at any moment of the start: it is neither lost nor taken for a failure."""
    cloud = bench.cloud
    (bench.work / 'app.py').write_text(IDLE)
    (bench.work / 'furnace.toml').write_text(SIMULATED)
    if kind == 'app':
        cloud.start_vmi()
    commands = {
        'vmi': ('sim', '--driver', 'simulator', '--vmi', bench.work / 'vmi'),
        'app': ('-c', bench.work / 'app', '--u2', APP, '--vmi', cloud.vmi_dir),
        'fac': (*cloud.fac_arguments(),),
        'run': ('my-app', '--manifest', bench.work / 'furnace.toml'),
    }
    for moment in range(10):
        bench.start(kind, *commands[kind])
        handles_signals(bench.process.pid)
        time.sleep(moment * 0.02)
        start = time.monotonic()
        check_end(bench, 'SIGTERM', 0)
        assert time.monotonic() - start < 9, f'it was killed after the time of grace: {bench.process.log}'


@pytest.mark.parametrize('database', ['storage.db', 'outbox.db'])
def test_a_fac_partition_that_was_killed_while_it_made_its_databases_starts_again(bench, database):
    """What SQLite has to roll back then is a journal beside the file: it asks for locks that it doesn't need
    otherwise.
    """
    made = bench.work / 'made.db'
    connection = sqlite3.connect(made, isolation_level=None)
    connection.executescript(
        'PRAGMA page_size=4096; CREATE TABLE filler (x); INSERT INTO filler VALUES (1); PRAGMA cache_size=1;'
        ' BEGIN IMMEDIATE;'
    )
    for _ in range(200):
        connection.execute('INSERT INTO filler VALUES (?)', ('x' * 4000,))
    storage = bench.cloud.fac_dir.parent / 'storage'
    storage.mkdir()
    for ending in ('', '-journal'):
        assert os.path.getsize(f'{made}{ending}') > 0
        shutil.copy(f'{made}{ending}', storage / (database + ending))
    connection.close()
    fac(bench)
    check_end(bench, 'SIGTERM', 0)
    with sqlite3.connect(storage / database) as kept:
        assert kept.execute('SELECT count(*) FROM filler').fetchone() == (1,)


def handles_signals(pid):
    """Waits for the handler of SIGTERM: what comes before it ends any process."""

    def caught():
        status = Path(f'/proc/{pid}/status').read_text()
        return int(status.split('SigCgt:')[1].split()[0], 16) >> (signal.SIGTERM - 1) & 1

    eventually(caught, 10, 'handler of SIGTERM')


def tail(bench, *flags):
    bench.cloud.start_fac()
    process = bench.start('tail', '--fac', bench.cloud.fac_dir, *flags)
    eventually(lambda: len(os.listdir(f'/proc/{process.pid}/task')) > 1, 10, "ZeroMQ's threads")
    time.sleep(0.2)


def top(bench, *arguments):
    bench.start('top', '--interval', '0.2', *arguments).wait_out('PARTITION|APP|no partition')


def top_of_a_vm(bench):
    bench.cloud.start_vmi('--metrics', bench.work / 'metrics')
    top(bench, bench.work / 'metrics')


def at_a_silent_vm(bench, *before, after=()):
    name, taken = bench.silent_qemu()
    bench.start(*before, name, *after)
    eventually(taken.exists, 10, 'connection to the VM')


def vm_start(bench):
    name = f't{os.getpid()}'
    bench.start('vm', 'start', name)
    eventually((Path(RUN) / 'vm' / name / 'pid').exists, 30, 'QEMU')


def vm_start_that_fetches(bench):
    """apt-get and apt-cache are stand-ins that take long."""
    tools = bench.work / 'tools'
    tools.mkdir()
    (tools / 'apt-cache').write_text('#!/bin/sh\nexit 0\n')
    (tools / 'apt-get').write_text(f'#!/bin/sh\ntouch {bench.work}/fetching\nsleep 60\n')
    for tool in tools.iterdir():
        tool.chmod(0o755)
    bench.start(
        'vm',
        'start',
        'x',
        '--kernel-package',
        'linux-image-6.1.0-0-cloud-amd64',
        env={
            **os.environ,
            'PATH': f'{tools}:{os.environ["PATH"]}',
            'FURNACE_CACHE': str(bench.work / 'cache'),
        },
    )
    eventually((bench.work / 'fetching').exists, 10, 'apt-get')


def rootfs_build(bench):
    bench.start('rootfs', 'build', 'app', '-o', bench.work / 'root')
    eventually(lambda: list(bench.work.glob('root.*.new')), 10, 'a root that is being built')


def running_sleep(bench, *before):
    process = bench.start(*before, '--', 'sleep', '60')
    eventually(
        lambda: any(
            Path(f'/proc/{pid}/comm').read_text() == 'sleep\n' for pid, _ in descendants(process.pid)
        ),
        10,
        'sleep',
    )


INTERACTIVE = {
    'tail': tail,
    'tail --json': lambda bench: tail(bench, '--json'),
    'top': top,
    'top SOCKET': top_of_a_vm,
    'ps': lambda bench: at_a_silent_vm(bench, 'ps'),
    'profile find': lambda bench: at_a_silent_vm(bench, 'profile', 'find'),
    'vm snapshot': lambda bench: at_a_silent_vm(bench, 'vm', 'snapshot', after=(bench.work / 'file',)),
    'vm start': vm_start,
    'vm start that fetches a kernel': vm_start_that_fetches,
    'rootfs build': rootfs_build,
    'policy learn': lambda bench: running_sleep(bench, 'policy', 'learn', '-o', bench.work / 'policy'),
    'inspect': lambda bench: running_sleep(
        bench, 'inspect', '--audit', '--policy', ROOT / 'policies/app.policy'
    ),
}


@pytest.mark.parametrize('way', WAYS)
@pytest.mark.parametrize('command', INTERACTIVE)
def test_a_command_of_a_person_is_interrupted(bench, command, way):
    INTERACTIVE[command](bench)
    check_end(bench, way, WAYS[way][1])
    if command.startswith('vm start'):
        assert f't{os.getpid()}' not in furnace('vm', 'list').stdout
        assert not list((Path(RUN) / 'vm').glob(f't{os.getpid()}')) and not list(
            bench.work.glob('cache/kernels/*')
        )


@pytest.mark.parametrize('way', WAYS)
def test_a_console_is_interrupted_and_the_guest_continues(bench, shared_guest, way):
    """The console of a VM serves one at a time: the fixture's connection is given up for the time of the
    test.
    """
    shared_guest.disconnect()
    try:
        bench.start('vm', 'console', shared_guest.name, stdin=subprocess.PIPE)
        time.sleep(0.5)
        check_end(bench, way, WAYS[way][1])
    finally:
        shared_guest.connect()
    assert shared_guest.running() and 'web-server' in shared_guest.run('ps')


@pytest.mark.parametrize('way', WAYS)
def test_partitions_of_a_real_vm_let_it_go(bench, shared_guest, way):
    bench.start('vmi', shared_guest.name, '--vmi', bench.work / 'vmi').wait_log('serving VM')
    check_end(bench, way, 0)
    assert shared_guest.running()
