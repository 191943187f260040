"""Processes that call themselves QEMU: what a local user can make root believe of a VM."""

import json
import os
import subprocess
import sys
import textwrap
import time
import uuid
from pathlib import Path

import pytest

from furnace_testing import FURNACE, eventually, furnace

NOBODY = 65534
root_alone = pytest.mark.skipif(os.geteuid() != 0, reason='needs another user')

# Speaks QMP as far as `furnace ps` asks, and says that the guest's RAM is where the file is mapped. argv:
# socket, file, how it is open.
FALSE_QEMU = '''
import ctypes, json, mmap, os, socket, sys
path, file, how = sys.argv[1:4]
fd = os.open(file, {'read': os.O_RDONLY, 'write': os.O_RDWR, 'path': os.O_PATH}[how])
libc = ctypes.CDLL(None)
libc.mmap.restype = ctypes.c_void_p
libc.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int, ctypes.c_int, ctypes.c_int, ctypes.c_long]
size = max(os.stat(file).st_size, 4096)
host = libc.mmap(None, size, 1 if how == 'read' else 3, 1, fd, 0) if how != 'path' else 0x1000
listener = socket.socket(socket.AF_UNIX)
listener.bind(path)
os.chmod(path, 0o777)
listener.listen()
log = open(path + '.log', 'w')
view = f"FlatView #0\\n Root memory region: system\\n  0000000000000000-{size - 1:016x} (prio 0, ram): mem\\n"
while True:
    client, _ = listener.accept()
    log.write('connected\\n'); log.flush()
    stream = client.makefile('rw')
    try:
        stream.write('{"QMP": {}}\\n'); stream.flush()
        while line := stream.readline():
            asked = json.loads(line)
            text = json.dumps(asked)
            answer = {}
            if 'info mtree' in text: answer = view
            elif 'gpa2hva' in text: answer = f'Host virtual address for 0x0 (mem) is {host:#x}'
            elif 'info registers' in text: answer = 'RAX=0 RIP=0 CR3=0 '
            elif 'query-cpus-fast' in text: answer = [{}]
            elif 'query-status' in text: answer = {'running': True, 'status': 'running'}
            elif 'query-memdev' in text or 'query-chardev' in text: answer = []
            stream.write(json.dumps({'return': answer}) + '\\n'); stream.flush()
    except OSError:
        pass
'''


class FalseQemu:
    def __init__(
        self,
        directory,
        user=None,
        name=None,
        file='/etc/hostname',
        how='read',
        socket_of=None,
        code=FALSE_QEMU,
    ):
        self.name = name or f'false-{uuid.uuid4().hex[:8]}'
        self.place = directory / uuid.uuid4().hex[:8]
        self.place.mkdir()
        if user is not None:
            os.chown(self.place, user, user)
        self.socket = self.place / 'qmp'
        shown = socket_of or self.socket
        # What makes a process a QEMU for others is the beginning of its command line alone.
        self.process = subprocess.Popen(
            [
                'qemu-system-x86_64',
                '-c',
                code,
                self.socket,
                file,
                how,
                '-name',
                self.name,
                '-qmp',
                f'unix:{shown},server=on,wait=off',
            ],
            executable='/usr/bin/python3',
            user=user,
            group=user,
        )
        if code is FALSE_QEMU:
            eventually(self.socket.exists, 10, 'the false QEMU')

    def was_connected_to(self):
        log = Path(f'{self.socket}.log')
        return log.exists() and 'connected' in log.read_text()

    def stop(self):
        self.process.kill()
        self.process.wait()


@pytest.fixture
def place(tmp_path_factory):
    """A directory that other users can enter, and the false QEMUs in it."""
    directory = tmp_path_factory.mktemp('false')
    for each in (directory, *directory.parents):
        if each == Path('/tmp'):
            break
        each.chmod(0o755)
    made = []

    def start(**options):
        made.append(FalseQemu(directory, **options))
        return made[-1]

    start.directory = directory
    yield start
    for each in made:
        each.stop()


def ps(name):
    return furnace('ps', name, check=False)


@root_alone
@pytest.mark.parametrize('call', ['ps', 'vmi', 'vm snapshot', 'profile show'])
def test_what_another_user_calls_qemu_is_not_even_connected_to(place, call):
    false = place(user=NOBODY)
    arguments = {
        'ps': ['ps', false.name],
        'vmi': ['vmi', false.name, '--vmi', place.directory / 'vmi'],
        'vm snapshot': ['vm', 'snapshot', false.name, place.directory / 'out'],
        'profile show': ['profile', 'show', false.name],
    }[call]
    said = furnace(*arguments, check=False)
    assert said.returncode != 0
    assert 'belongs to user nobody' in said.stderr and '/etc/furnace/qemu-users' in said.stderr, said.stderr
    assert not false.was_connected_to()


@root_alone
def test_another_users_process_of_the_same_name_changes_nothing(place, own_guest):
    for _ in range(2):
        place(user=NOBODY, name=own_guest.name)
    assert 'kthreadd' in furnace('ps', own_guest.name).stdout


@root_alone
def test_other_users_processes_are_not_listed(place):
    false = place(user=NOBODY)
    assert false.name not in ps('no-such-vm').stderr
    assert false.name not in furnace('vm', 'list').stdout


@root_alone
def test_a_program_that_its_user_can_change_is_none_of_roots(place):
    """Root's process, but of a file that another user owns."""
    copy = place.directory / 'qemu-system-x86_64'
    copy.write_bytes(Path('/usr/bin/python3').resolve().read_bytes())
    copy.chmod(0o755)
    os.chown(copy, NOBODY, NOBODY)
    name = f'false-{uuid.uuid4().hex[:8]}'
    process = subprocess.Popen(
        [copy, '-c', 'import time; time.sleep(60)', '-name', name, '-qmp', 'unix:/nowhere,server=on']
    )
    try:
        said = eventually(
            lambda: next((said for said in [ps(name).stderr] if 'calls itself' in said), None),
            5,
            'the process to be seen',
        )
        assert 'can be changed by user nobody' in said
    finally:
        process.kill()
        process.wait()


@root_alone
def test_a_process_that_has_given_its_privileges_up_counts_as_what_it_was_and_is(place):
    """A program of root's that runs as root and as somebody else is neither."""
    name = f'false-{uuid.uuid4().hex[:8]}'
    code = f'import os, time; os.setresuid({NOBODY}, {NOBODY}, 0); time.sleep(60)'
    process = subprocess.Popen(
        ['qemu-system-x86_64', '-c', code, '-name', name, '-qmp', 'unix:/nowhere,server=on'],
        executable='/usr/bin/python3',
    )
    try:
        eventually(lambda: 'belongs to user nobody' in ps(name).stderr, 5, 'it to be refused')
    finally:
        process.kill()
        process.wait()


def test_a_socket_that_another_process_serves_is_not_believed(place):
    """The path on the command line leads to somebody else's socket."""
    other = place()
    false = place(socket_of=other.socket)
    said = ps(false.name).stderr
    assert f'is served by process {other.process.pid}, not by QEMU' in said, said


def test_a_link_to_another_processes_socket_is_not_believed(place):
    other = place()
    link = place.directory / 'link'
    link.symlink_to(other.socket)
    false = place(socket_of=link)
    assert 'is served by process' in ps(false.name).stderr


@root_alone
@pytest.mark.parametrize('how', ['read', 'path'])
def test_a_file_that_is_open_only_for_reading_is_never_written(place, how):
    """The inode of a mapping that a process names is opened with no more rights than it has itself."""
    precious = place.directory / 'precious'
    precious.write_bytes(b'precious' * 512)
    precious.chmod(0o644)
    false = place(file=str(precious), how=how)
    before = precious.read_bytes(), precious.stat().st_mtime_ns
    partition = subprocess.Popen(
        [FURNACE, 'vmi', false.name, '--vmi', place.directory / 'vmi', '--shell'],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    out, _ = partition.communicate(
        textwrap.dedent(
            '''
        for fd in /proc/self/fd/*; do echo "$(readlink $fd) $(grep flags /proc/self/fdinfo/$(basename $fd))"; done
        exit
    '''
        ),
        timeout=60,
    )
    assert str(precious) not in out
    assert (precious.read_bytes(), precious.stat().st_mtime_ns) == before


def test_names_full_of_controls_are_shown_harmless(place):
    false = place(name='x\x1b[31m\u009b\u202e')
    said = ps('no-such-vm')
    assert not set('\x1b\u009b\u202e') & set(said.stderr + said.stdout), (false.name, said.stderr)


@pytest.mark.parametrize('what', ['ends', 'says nothing', 'says no JSON', 'has no end'])
def test_a_monitor_that_misbehaves_costs_an_error(place, what):
    code = FALSE_QEMU.replace(
        '''stream.write('{"QMP": {}}\\n')''',
        {
            'ends': 'client.close(); continue',
            'says nothing': 'import time; time.sleep(600)',
            'says no JSON': "stream.write('hello\\n')",
            'has no end': "[client.sendall(b'x' * (1 << 20)) for _ in range(100)]",
        }[what],
    )
    false = place(code=code.replace('FALSE', 'FALSE '))
    eventually(false.socket.exists, 10, 'the false QEMU')
    start = time.monotonic()
    said = ps(false.name)
    assert said.returncode not in (0, -6, -11) and 'QMP' in said.stderr + said.stdout, said
    assert time.monotonic() - start < 60


def test_ones_own_vm_is_served_as_before(own_guest):
    processes = json.loads(furnace('ps', own_guest.name, '--json').stdout)
    assert {'init', 'kthreadd'} <= {each['name'] for each in processes}
    assert sys.platform == 'linux'
