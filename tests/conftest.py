"""Real binaries, a real guest under QEMU: what the end-to-end tests share."""

import base64
import collections
import fcntl
import itertools
import json
import lzma
import os
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import time
import uuid
import warnings
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
BUILD = Path(os.environ.get('FURNACE_BUILD', ROOT / 'build'))
FURNACE = BUILD / 'bin' / 'furnace'
APP = '11111111-1111-1111-1111-111111111111-app'

# Files of the tests are the tests' own; kernels and profiles are kept with the build.
RUN = tempfile.mkdtemp(prefix='furnace-run-', dir='/tmp')
os.environ['FURNACE_RUN'] = RUN
os.environ.setdefault('FURNACE_CACHE', str(BUILD / 'cache'))

# Limits of time are for what hangs: on one host everything takes so many times as long as on another, or is emulated.
PATIENCE = 4

KERNELS = {'6.1': 'linux-image-cloud-amd64', '6.12': 'linux-image-6.12-cloud-amd64'}


def pytest_configure():
    # Who runs the tests in the background of a script ignores SIGINT, and so would the commands that tests interrupt.
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.hookimpl(trylast=True)  # the guests of the session end first, also when it is cut short
def pytest_sessionfinish():
    shutil.rmtree(RUN, ignore_errors=True)
    if 'PYTEST_XDIST_WORKER' not in os.environ:
        for lock in Path('/tmp').glob('furnace-tests-*.lock'):
            lock.unlink()


def pytest_terminal_summary(terminalreporter):
    """What was skipped, by reason: a skip is no success."""
    reasons = collections.Counter(str(report.longrepr[2]).removeprefix('Skipped: ') for report in terminalreporter.stats.get('skipped', []))
    if reasons:
        terminalreporter.section('skipped, by reason')
        for reason, count in sorted(reasons.items(), key=lambda each: (-each[1], each[0])):
            terminalreporter.write_line(f'{count:>5}  {reason}')


def furnace(*arguments, check=True, timeout=120, **options):
    """Runs `furnace` to its end; the result has returncode, stdout and stderr."""
    result = subprocess.run([FURNACE, *map(str, arguments)], capture_output=True, text=True, timeout=timeout, **options)
    if check and result.returncode != 0:
        raise AssertionError(f'furnace {arguments} ended with {result.returncode}:\n{result.stdout}{result.stderr}')
    return result


def wait_for(condition, seconds=10, what='condition'):
    """The first true value of condition(), which is tried until the time that it may take is over."""
    seconds *= PATIENCE
    end = time.monotonic() + seconds
    while True:
        value = condition()
        if value:
            return value
        assert time.monotonic() < end, f'{what}: not within {seconds} s'
        time.sleep(0.02)


# Files of tests run side by side: each takes ports of its own, below those that the kernel gives away.
_WORKER = int(re.sub(r'\D', '', os.environ.get('PYTEST_XDIST_WORKER', '0')) or 0)
_ports = itertools.count(10_000 + 2_000 * (_WORKER % 10) + os.getpid() % 100 * 2, 2)


def free_port(count=2):
    """A port that is free, with the ones behind it."""
    while True:
        port = next(_ports)
        for _ in range(count // 2 - 1):
            next(_ports)
        try:
            for each in range(port, port + count):
                with socket.socket() as probe:
                    probe.bind(('127.0.0.1', each))
        except OSError:
            continue
        return port


def resident_mb(pid):
    """Resident memory of a process in MB, mapped guest RAM not counted."""
    total = guest = 0
    section = ''
    for line in open(f'/proc/{pid}/smaps'):
        if re.match(r'[0-9a-f]+-[0-9a-f]+ ', line):
            section = line
        elif line.startswith('Rss:'):
            total += int(line.split()[1])
            guest += int(line.split()[1]) if section.rstrip().endswith('/ram') else 0
    return (total - guest) / 1024


class Process:
    """A partition's process; its log is a file that can be searched while it runs."""

    def __init__(self, directory, name, *arguments, **options):
        self.log_file = Path(directory) / f'{name}-{uuid.uuid4().hex[:6]}.log'
        self.out_file = self.log_file.with_suffix('.out')
        with open(self.log_file, 'w') as log, open(self.out_file, 'w') as out:
            self.process = subprocess.Popen([FURNACE, *map(str, arguments)], stdout=out, stderr=log, **options)
        self.pid = self.process.pid

    @property
    def log(self):
        return self.log_file.read_text()

    @property
    def out(self):
        return self.out_file.read_text()

    def wait_log(self, pattern, seconds=30):  # the first partition of a kind builds its root
        def found():
            match = re.search(pattern, self.log)
            assert match or self.process.poll() is None or re.search(pattern, self.log), \
                f'ended with {self.process.returncode} before /{pattern}/:\n{self.log}'
            return match
        return wait_for(found, seconds, f'/{pattern}/ in the log:\n{self.log}')

    def wait_out(self, pattern, seconds=30):
        return wait_for(lambda: re.search(pattern, self.out), seconds, f'/{pattern}/ in the output; log:\n{self.log}')

    def wait_end(self, seconds=10):
        return self.process.wait(seconds * PATIENCE)

    def stop(self, how=signal.SIGTERM):
        if self.process.poll() is None:
            self.process.send_signal(how)
        return self.process.wait(10)


def partition_of(launcher):
    """The process of a partition's program: bubblewrap's child."""
    def children(pid):
        try:
            return [int(child) for task in Path(f'/proc/{pid}/task').iterdir() for child in (task / 'children').read_text().split()]
        except (FileNotFoundError, ProcessLookupError):
            return []

    def is_bubblewrap(pid):
        try:
            return Path(f'/proc/{pid}/comm').read_text() == 'bwrap\n'
        except (FileNotFoundError, ProcessLookupError):
            return False

    def found():
        bubblewrap = [pid for pid in children(launcher) if is_bubblewrap(pid)]
        return [inner for pid in bubblewrap for inner in children(pid)]
    return wait_for(found, 10, 'the program of a partition')[0]


class Guest:
    """A test VM and a shell in it."""

    def __init__(self, name, directory=None):
        self.name = name
        self.directory = directory or Path(RUN) / 'vm' / name
        self.pid = None if directory else int((self.directory / 'pid').read_text())
        self.connect()

    def connect(self):
        """To the console, which serves one at a time."""
        self._console = socket.socket(socket.AF_UNIX)
        self._console.settimeout(60)
        self._console.connect(str(self.directory / 'console'))
        self.meet_the_shell()

    def meet_the_shell(self, seconds=60 * PATIENCE):
        """Waits until a shell answers: what is typed while the guest boots may be lost."""
        text = b''
        end = time.monotonic() + seconds
        self._console.settimeout(1)
        while b'UP!' not in text:
            assert time.monotonic() < end, f'no shell within {seconds} s:\n{text[-2000:].decode(errors="replace")}'
            self._console.sendall(b'stty -echo; PS1=; echo U""P!\n')
            try:
                text += self._console.recv(65536)
            except TimeoutError:
                continue
        self._console.settimeout(60 * PATIENCE)
        self.run('true')

    def give_up_after(self, seconds):
        """Makes `run` raise TimeoutError when the guest prints nothing for so long."""
        self._console.settimeout(seconds * PATIENCE)

    def run(self, command):
        """What the command prints in the guest."""
        marker = uuid.uuid4().hex
        # The marker is written in two pieces, so that the echo of the command does not hold it.
        self._console.sendall(f'echo S""{marker}; {command}; echo E""{marker}\n'.encode())
        text = b''
        while f'E{marker}'.encode() not in text:
            piece = self._console.recv(65536)
            assert piece, f'the console closed during {command!r}'
            text += piece
        shown = text.decode(errors='replace').replace('\r', '')
        return shown.split(f'S{marker}\n')[-1].split(f'E{marker}')[0]

    def push(self, path, content):
        """A file of ours in the guest."""
        self.run(f'rm -f {path} {path}.b')
        text = base64.b64encode(content).decode()
        for i in range(0, len(text), 800):
            self.run(f'echo -n {text[i:i + 800]} >> {path}.b')
        self.run(f'base64 -d {path}.b > {path}; rm {path}.b')

    def qmp(self, command, **arguments):
        """Runs a QMP command on the socket that the partitions leave free."""
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(10)
            connection.connect(str(self.directory / 'qmp2'))
            stream = connection.makefile('rw')
            stream.readline()
            for number, request in enumerate(({'execute': 'qmp_capabilities'}, {'execute': command, 'arguments': arguments})):
                stream.write(json.dumps(dict(request, id=number)) + '\n')
                stream.flush()
                answer = json.loads(stream.readline())
                while answer.get('id') != number:
                    answer = json.loads(stream.readline())
            assert 'return' in answer, answer
            return answer['return']

    def running(self):
        return self.qmp('query-status')['running']

    def disconnect(self):
        self._console.close()

    def stop(self):
        self.disconnect()
        furnace('vm', 'stop', self.name)


def start_guest(kernel='6.1', append='', **options):
    """Boots a VM and returns it."""
    flags = [part for key, value in options.items() for part in (f'--{key}', value)]
    # A vCPU that TCG leaves behind while others spin boots too slowly, once in hundreds of times: that VM is given up.
    for last in (False, True):
        name = f't{uuid.uuid4().hex[:8]}'
        started = furnace('vm', 'start', name, '--kernel-package', KERNELS[kernel], '--append', append, *flags,
                          check=False, timeout=300)
        if started.returncode == 0:
            return Guest(name)
        console = Path(RUN) / 'vm' / name / 'console.log'
        said = f'{started.stdout}{started.stderr}{console.read_text(errors="replace")[-3000:] if console.exists() else ""}'
        furnace('vm', 'stop', name, check=False)
        assert not last and 'continues to boot' in said, said
        warnings.warn(said)


def start_by_hand(work, *options):
    """A QEMU without a shared memory backend and with one QMP socket: (its name, its process). Its console is work/console."""
    donor = start_guest()
    initrd = work / 'initramfs'
    initrd.write_bytes((donor.directory / 'initramfs').read_bytes())
    donor.stop()
    vmlinuz = next((BUILD / 'cache' / 'kernels').glob('linux-image-6.1.*/boot/vmlinuz-*'))
    name = f'hand-{uuid.uuid4().hex[:6]}'
    qemu = subprocess.Popen(['qemu-system-x86_64', '-name', f'guest={name},debug-threads=on', '-machine', 'pc,accel=tcg', '-cpu', 'max,-cx16',
                             '-m', '256', '-kernel', vmlinuz, '-initrd', initrd, '-append', 'console=ttyS0 quiet', '-nodefaults',
                             '-display', 'none', '-qmp', f'unix:{work}/qmp,server=on,wait=off', '-serial', 'chardev:console',
                             '-chardev', f'socket,id=console,path={work}/console,server=on,wait=off,logfile={work}/serial', *options])
    wait_for(lambda: (work / 'serial').exists() and b'furnace guest ready' in (work / 'serial').read_bytes(), 60, 'boot')
    return name, qemu


def a_module(kernel, work):
    """A small module of a kernel that needs no other."""
    package = subprocess.run(['apt-cache', 'depends', KERNELS[kernel]], capture_output=True, text=True).stdout
    name = re.search(r'Depends: (linux-image-\S+)', package)[1]
    subprocess.run(['apt-get', 'download', name], cwd=work, check=True, capture_output=True)
    deb = next(work.glob('*.deb'))
    subprocess.run(f'dpkg-deb --fsys-tarfile {deb} | tar -x --wildcards "*/crypto/xor.ko*" "*/lib/crc7.ko*" "*/lib/crc4.ko*" "*/net/dummy.ko*"',
                   shell=True, cwd=work, capture_output=True)
    modules = sorted(work.rglob('*.ko*'), key=lambda file: file.stat().st_size)
    assert modules, 'no module in the kernel package'
    content = modules[0].read_bytes()
    if modules[0].suffix == '.xz':
        content = lzma.decompress(content)
    return content


@pytest.fixture(autouse=True)
def share_of_the_machine(request):
    """Where files run at the same time (pytest -n), a test on a guest of several vCPUs runs alone, for want of CPUs; but for a Xen
    host, which runs all the time."""
    run = os.environ.get('PYTEST_XDIST_TESTRUNUID')
    if run is None or request.node.path.parent.name == 'xen':
        yield
        return
    with open(f'/tmp/furnace-tests-{run}.lock', 'w') as lock:
        alone = re.search(r'-[2-9]cpu', request.node.name)
        fcntl.flock(lock, fcntl.LOCK_EX if alone else fcntl.LOCK_SH)
        yield


@pytest.fixture(scope='session')
def guest():
    """A VM that tests share; they leave it running and as they found it."""
    vm = start_guest()
    yield vm
    vm.stop()


@pytest.fixture
def own_guest():
    """A VM that a test may ruin."""
    vm = start_guest()
    yield vm
    try:
        vm.stop()
    except AssertionError:
        pass


@pytest.fixture(scope='module')
def one_socket(tmp_path_factory):
    """The name of a QEMU whose RAM is its own, with one QMP socket."""
    name, qemu = start_by_hand(tmp_path_factory.mktemp('hand'))
    yield name
    qemu.kill()
    qemu.wait()


@pytest.fixture
def work():
    """A directory with a short path, for sockets."""
    path = tempfile.mkdtemp(prefix='furnace-e2e-', dir='/tmp')
    yield Path(path)
    shutil.rmtree(path, ignore_errors=True)


class Cloud:
    """All partitions of one app, each a real process."""

    def __init__(self, work, vm, driver='qemu'):
        self.work, self.vm, self.driver = work, vm, driver
        self.keys, self.vmi_dir, self.fac_dir = work / 'keys', work / 'vmi', work / 'app' / 'fac_socket'
        self.fac_dir.mkdir(parents=True)
        furnace('keys', 'new', self.keys)
        self.inside, self.outside = free_port(), free_port()
        self.processes = []

    def start(self, name, *arguments, **options):
        process = Process(self.work, name, name, *arguments, **options)
        self.processes.append(process)
        return process

    def start_vmi(self, *flags, **options):
        vmi = self.start('vmi', self.vm, '--driver', self.driver, '--vmi', self.vmi_dir, *flags, **options)
        vmi.wait_log('serving VM')
        return vmi

    def start_backend(self, code, keys=None):
        keys = keys or self.keys
        return self.start('backend', '-c', self.source('be', code), '-m', 'AppBE', '--ep', '127.0.0.1', '--et', self.outside,
                          '--ak', keys / 'app.key', '--bk', keys / 'be.key')

    def start_proxy(self):
        return self.start('proxy', '--ak', self.keys / 'app.key', '--bk', self.keys / 'be.key', '--ip', '127.0.0.1',
                          '--it', self.inside, '--ep', '127.0.0.1', '--et', self.outside)

    def start_fac(self, keys=None, quota=None):
        fac = self.start('fac', '--u2', APP, '--kp', keys or self.keys, '--ip', '127.0.0.1', '--it', self.inside,
                         '--fac', self.fac_dir, *(['--qt', f'_furnace_max_disk:{quota}'] if quota else []))
        fac.wait_log('serving app')
        return fac

    def start_app(self, code, metadata='', app=APP):
        return self.start('app', '-c', self.source('app', code), '-m', 'App', '--u2', app, '--md', metadata,
                          '--fac', self.fac_dir, '--vmi', self.vmi_dir)

    def source(self, name, code):
        """The file for -c: a path is taken as it is, other text is written to one. Without its suffix."""
        if isinstance(code, Path):
            return code
        path = self.work / f'{name}_{uuid.uuid4().hex[:6]}'
        path.with_suffix('.py').write_text(code)
        return path

    def stop(self):
        for process in reversed(self.processes):
            process.stop(signal.SIGKILL)


@pytest.fixture
def cloud(work, guest):
    """Partitions on the shared VM."""
    made = Cloud(work, guest.name)
    yield made
    made.stop()


@pytest.fixture
def partitions(work, vm):
    """Partitions on the VM that a module of tests makes for itself, its fixture `vm`."""
    made = Cloud(work, vm.name)
    yield made
    made.stop()


@pytest.fixture
def serving(partitions):
    """The same, with the VMI partition running."""
    partitions.start_vmi()
    return partitions


@pytest.fixture
def sim(work):
    """Partitions on the simulator."""
    made = Cloud(work, 'sim', driver='simulator')
    yield made
    made.stop()


@pytest.fixture
def simulated(work):
    """Partitions on a guest that is described in TOML: simulated('...') makes them."""
    made = []

    def make(description):
        path = work / 'guest.toml'
        path.write_text(description)
        made.append(Cloud(work, path, driver='simulator'))
        return made[-1]
    yield make
    for cloud in made:
        cloud.stop()


def run_example(cloud, name, metadata='', seconds=30):
    """Runs one of apps/ to its end; what it printed."""
    app = cloud.start_app(ROOT / 'apps' / name / 'app', metadata=metadata)
    assert app.wait_end(seconds) == 0, app.log
    assert 'raised' not in app.log, app.log
    return app.out


def run_app(cloud, body, seconds=60, **options):
    """Runs statements as an app's constructor; returns what it prints as JSON with show(...)."""
    lines = '\n'.join('        ' + line for line in body.strip().splitlines())
    code = f'import fe, json, time\nshow = lambda v: print(json.dumps(v))\nclass App:\n    def __init__(self, ctx):\n{lines}\n        fe.exit()\n'
    app = cloud.start_app(code, **options)
    status = app.wait_end(seconds)
    assert status == 0, '\n'.join(each.log[-3000:] for each in [app, *cloud.processes])
    return [json.loads(line) for line in app.out.splitlines()]
