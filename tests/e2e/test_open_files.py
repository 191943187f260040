"""Open files and sockets by the example app, compared with the guest's own /proc, on a live guest of each
kernel; what is damaged in them, on the simulator."""

import base64
import re
import subprocess
from pathlib import Path

import pytest

from furnace_testing import run_app, run_example, start_guest


@pytest.fixture(scope='module')
def opener(tmp_path_factory):
    """A program for guests that opens files of all kinds."""
    binary = tmp_path_factory.mktemp('opener') / 'opener'
    source = Path(__file__).with_name('opener.c')
    subprocess.run(['gcc', '-O1', '-s', '-static', '-nostdlib', '-o', binary, source], check=True)
    return binary.read_bytes()


@pytest.fixture(scope='module', params=['6.1', '6.12'])
def vm(request, opener):
    """A guest of each kernel, in which a process has files of all kinds open."""
    made = start_guest(request.param, memory=512)
    made.push('/opener', opener)
    made.run(
        'chmod +x /opener; ifconfig lo up; /opener > /tmp/told & '
        'while ! grep -q ready /tmp/told; do sleep 0.1; done'
    )
    made.opener = int(made.run('pidof opener'))
    yield made
    made.stop()


def links(vm, processes='/proc/[0-9]*'):
    """What readlink prints in the guest, exactly: {(pid, descriptor): bytes}."""
    told = vm.run(
        f'for p in {processes}; do for f in $p/fd/*; do [ -L $f ] && '
        'echo ${p##*/} ${f##*/} $(readlink -n $f | base64 -w 0); done; done'
    )
    return {
        (int(pid), int(descriptor)): base64.b64decode(text)
        for pid, descriptor, text in re.findall(r'^(\d+) (\d+) (\S+)$', told, re.M)
    }


def listed(partitions, metadata=''):
    """What the app prints: {(pid, descriptor): text}."""
    lines = run_example(partitions, 'open_files', metadata).splitlines()[1:]
    found = [re.fullmatch(r' *(\d+) .{16} +(\d+|\?)  (.*)', line).groups() for line in lines]
    assert '?' not in {descriptor for _, descriptor, _ in found}, found
    return {(int(pid), int(descriptor)): text for pid, descriptor, text in found}


def escaped(name):
    """A name as a terminal may see it."""
    text = name.decode('utf-8', 'surrogateescape').replace('\\', '\\\\')
    for raw, shown in (('\n', r'\n'), ('\x1b', r'\x1b'), ('\udcff', r'\xff'), ('\u202e', r'\u202e')):
        text = text.replace(raw, shown)
    return text


def test_every_descriptor_has_the_name_that_proc_gives_it(vm_cloud, vm):
    vm_cloud.start_vmi()
    before, seen, after = links(vm), listed(vm_cloud), links(vm)
    witness = {key: escaped(name) for key, name in before.items() if after.get(key) == name}
    assert len(witness) > 70 and {(vm.opener, descriptor) for descriptor in (0, 1, 2, 900)} <= witness.keys()
    names = {key: text.split('  ')[0] if text.startswith('socket:') else text for key, text in seen.items()}
    assert {key: names.get(key) for key in witness} == witness
    assert seen.keys() - after.keys() - before.keys() == set(), 'and no more than these'
    text = '\n'.join(names.values())
    for kind in (
        'anon_inode:[eventfd]',
        'anon_inode:[pidfd]',
        '/memfd:evil\\n name (deleted)',
        'uts:[',
        'pipe:[',
        '/tmp/gone (deleted)',
        '/tmp/m/dir/file',
        '/tmp/own/file',
        '/left',
        '/tmp/ns',
        'red\u00e4 \\xff\\\\ \\u202e',
    ):
        assert kind in text, kind


def test_sockets_have_their_ends(vm_cloud, vm):
    vm_cloud.start_vmi()
    files = listed(vm_cloud, str(vm.opener)).values()
    told = [text.split('  ', 1)[1] for text in files if text.startswith('socket:')]
    port = re.search(r':(\d+) -> 127.0.0.1:8080', '\n'.join(told))[1]
    for expected in (
        'tcp stream 127.0.0.1:8080 -> 0.0.0.0:0 LISTEN',
        'tcp6 stream [::1]:8081 -> [::]:0 LISTEN',
        f'tcp stream 127.0.0.1:{port} -> 127.0.0.1:8080 ESTABLISHED',
        'udp dgram 127.0.0.1:8080 -> 0.0.0.0:0',
        'udp6 dgram [::1]:8081 -> [::]:0',
        'unix stream /tmp/so cket LISTEN',
        'unix dgram @abs@tract',
        'unix seqpacket ESTABLISHED',
        'netlink raw',
        'packet raw',
        'icmp raw 0.0.0.0:1 -> 0.0.0.0:0',
    ):
        assert expected in told, told
    assert f'0100007F:{int(port):04X} 0100007F:1F90 01' in vm.run('cat /proc/net/tcp')
    names = {line.split(None, 7)[-1] for line in vm.run('cat /proc/net/unix').splitlines()[1:]}
    assert {'/tmp/so cket', '@abs@tract'} <= names


def test_a_process_whose_first_thread_has_ended_has_its_files(vm_cloud, vm):
    """The guest's /proc shows them only below /proc/PID/task."""
    pid = int(
        vm.run(
            '/opener leave < /dev/zero > /tmp/left & echo $!; '
            'while ! grep -q ready /tmp/left; do sleep 0.1; done'
        )
    )
    thread = next(int(each) for each in vm.run(f'ls /proc/{pid}/task').split() if int(each) != pid)
    witness = links(vm, f'/proc/{pid}/task/{thread}')
    assert links(vm, f'/proc/{pid}') == {}
    vm_cloud.start_vmi()
    seen = listed(vm_cloud, str(pid))
    vm.run(f'kill -9 {pid}')
    assert witness == {(thread, 0): b'/dev/zero', (thread, 1): b'/tmp/left', (thread, 2): b'/dev/ttyS0'}
    assert [seen[pid, descriptor].encode() for descriptor in range(3)] == list(witness.values())


def test_many_processes_cost_few_messages(vm_cloud, vm):
    """600 processes, each with a table of its own: a message for each of them would be 600 and more."""
    vm.run('/opener many 600 > /tmp/many & while ! grep -q ready /tmp/many; do sleep 0.1; done')
    vm_cloud.start_vmi()
    try:
        processes, files, messages = run_app(vm_cloud, COUNTED)
    finally:
        vm.run('killall -9 opener')
    assert processes > 600 and files > 1800 and messages < 100


COUNTED = """
import _furnace, furnace_linux
exchange, sent = _furnace.batch_exchange, []
_furnace.batch_exchange = lambda request: sent.append(len(request)) or exchange(request)
tasks = [process['process_block_ptr'] for process in fe.checked.process_list().values()]
files = list(furnace_linux.open_files_of(tasks))
show(len(tasks)); show(len(files)); show(len(sent))
"""

OFFICE = """
[[task]]
pid = 1
name = "init"
files = ["/dev/console", "/etc/passwd"]
sockets = [{protocol = "udp", local = "0.0.0.0:53"}]
[[task]]
pid = 2
name = "other"
files = ["/a/b/c", "/etc/passwd"]
"""

CONSOLE, PASSWD, SOCKET = [0, '/dev/console', ''], [1, '/etc/passwd', ''], [2, 'socket:[', '']
NOT_THERE = 'not mapped|not canonical|no memory'

# Ways to damage the files of task 1: addresses and what is written there, and what is then told of them.
DAMAGES = {
    'files of user space': ({"task.address_of('files')": 0x1000}, [[None, '?', NOT_THERE]]),
    'a pointer to nothing': (
        {'int(table.fd) + 8': 0xFFFF888FFFFFFFFF},
        [CONSOLE, [1, '?', NOT_THERE], SOCKET],
    ),
    'a pointer at the end of memory': (
        {'int(table.fd) + 8': 2**64 - 1},
        [CONSOLE, [1, '?', NOT_THERE], SOCKET],
    ),
    'a path in a circle': (
        {"passwd.address_of('d_parent')": 'int(console)', "console.address_of('d_parent')": 'int(passwd)'},
        [[0, '?', 'circle'], [1, '?', 'circle'], SOCKET],
    ),
    'a name without end': (
        {"passwd.address_of('d_name') + 4": 0xFFFFFFFF},
        [CONSOLE, [1, '?', 'a name of 4294967295 bytes'], SOCKET],
    ),
    'a socket without its end': (
        {"fe.struct('file', pointers[2]).address_of('private_data')": 8},
        [CONSOLE, PASSWD, [2, 'socket:[', f'socket: .*({NOT_THERE})']],
    ),
    'a namer that nobody knows': (
        {"int(named.d_op) + fe.offset_of('dentry_operations', 'd_dname')": 4711},
        [CONSOLE, PASSWD, [2, '?', 'function of the kernel at 0x1267']],
    ),
    'a table of 4 billion files': (
        {"table.address_of('max_fds')": 0xFFFFFFFF},
        [CONSOLE, [None, '?', 'the table is damaged']],
    ),
    'a file that is not in the bitmap': ({'int(table.open_fds)': 0}, [CONSOLE, PASSWD, SOCKET]),
    'a file that was unlinked': (
        {"passwd.address_of('d_hash') + 8": 0},
        [CONSOLE, [1, '/etc/passwd (deleted)', ''], SOCKET],
    ),
}


@pytest.mark.parametrize('damage', DAMAGES)
def test_what_is_damaged_is_reported_with_the_reason(described_cloud, damage):
    writes, expected = DAMAGES[damage]
    size = 32 if 'without end' in damage or 'billion' in damage else 64
    code = '\n'.join(f'fe.checked.write_{size}_va({place}, 0, {value})' for place, value in writes.items())
    cloud = described_cloud(OFFICE)
    cloud.start_vmi()
    mine, others = run_app(
        cloud,
        f"""
import furnace_linux
task, other = fe.tasks()
table = task.files.deref().fdt.deref()
pointers = [fe.checked.read_64_va(int(table.fd) + 8 * i, 0) for i in range(3)]
console, passwd, named = [fe.struct('file', pointer).f_path.dentry.deref() for pointer in pointers]
{code}
told = list(furnace_linux.open_files_of([task, other]))
show([(file.descriptor, file.path, file.reason) for found, file in told if found is task])
show([file.path for found, file in told if found is other])
""",
    )
    assert others[0] == '/a/b/c' and len(others) == 2, 'the files of others are told'
    found = {descriptor: (path, reason) for descriptor, path, reason in mine}
    for descriptor, path, reason in expected:
        assert found[descriptor][0].startswith(path) and re.search(reason or '^$', found[descriptor][1]), mine
    assert len(mine) == len(expected) or 'billion' in damage


@pytest.mark.parametrize('hostile', ['cyclic_task_list', 'wild_pointers', 'huge_arrays', 'invalid_utf8'])
def test_a_hostile_guest_does_not_end_the_app(described_cloud, hostile):
    cloud = described_cloud(
        f'hostile = ["{hostile}"]\n'
        + OFFICE
        + ''.join(f'[[task]]\npid = {pid}\nname = "t"\nfiles = ["/etc/passwd"]\n' for pid in range(3, 8))
    )
    cloud.start_vmi()
    printed = run_example(cloud, 'open_files')
    assert '\x1b' not in printed
    if hostile == 'wild_pointers':
        assert re.search(r'init +\?  \?  \[.*not mapped|canonical', printed), printed
    elif hostile == 'cyclic_task_list':
        assert '/a/b/c' in printed, printed
    else:
        assert '/a/b/c' in printed or hostile == 'huge_arrays', printed
