"""The process table seen from outside equals what the guest says of itself, on every kernel and paging
variant.
"""

import itertools
import json
import re
import subprocess
import time

import pytest

from furnace_testing import FURNACE, Cloud, eventually, furnace, start_guest
from furnace_testing.process_table import comm, compare, inside, outside

PAGING = [
    ' '.join(filter(None, flags))
    for flags in itertools.product(('', 'nokaslr'), ('', 'no5lvl'), ('pti=on', 'pti=off'))
]
VARIANTS = [('6.1', append, {}) for append in PAGING]
VARIANTS += [('6.12', append, {}) for append in ('', 'nokaslr no5lvl pti=on', 'no5lvl pti=off')]
VARIANTS += [('6.1', '', {'memory': 4096}), ('6.12', '', {'memory': 4096, 'cpus': 2})]


@pytest.mark.parametrize('kernel,append,size', VARIANTS, ids=lambda v: str(v) or 'default')
def test_table_equals_the_guests_own(kernel, append, size):
    guest = start_guest(kernel, append, **size)
    try:
        assert len(inside(guest)) > 30
        compare(guest)
        words = guest.run('cat /proc/cmdline').split()
        assert all(flag in words for flag in append.split())
    finally:
        guest.stop()


def test_ps_columns_agree_with_the_guests_ps(shared_guest):
    """The same with the guest's ps, as a user would compare."""

    def once():
        shown = {
            tuple(line.split(None, 2)) for line in shared_guest.run('ps -o pid,ppid,comm').splitlines()[1:]
        }
        shown = {(int(pid), int(ppid), comm(name)) for pid, ppid, name in shown if name != 'ps'}
        return shown, {(pid, ppid, name) for pid, ppid, _, name, _ in outside(shared_guest)}

    for _ in range(10):
        shown, seen = once()
        if shown == seen:
            return
    assert shown == seen


def test_table_tree_and_json_show_the_same_processes(shared_guest):
    table = furnace('ps', shared_guest.name).stdout
    tree = furnace('ps', shared_guest.name, '--tree').stdout
    for name in ('init', 'web-server', 'database', '[kthreadd]'):
        assert name in table and name in tree
    assert all(len(line) <= 80 for line in table.splitlines())


def test_command_lines_and_executables_are_the_guests(shared_guest):
    """Executables across a mount point: one lies on a tmpfs mounted in the guest."""
    shared_guest.run(
        'mkdir -p /mnt/x; mount -t tmpfs tmpfs /mnt/x; mkdir /mnt/x/deep; cp /bin/busybox /mnt/x/deep/sleep; '
        '/mnt/x/deep/sleep 4242 & while ! grep -q 4242 /proc/$!/cmdline; do sleep 0.1; done'
    )
    pids = shared_guest.run('pidof sleep').split()
    shown = {line.split()[0]: line for line in furnace('ps', shared_guest.name, '--long').stdout.splitlines()}
    assert len(pids) >= 3
    for pid in pids + ['1', '2']:
        command = shared_guest.run(f"tr '\\0' ' ' < /proc/{pid}/cmdline").strip()
        executable = shared_guest.run(f'readlink /proc/{pid}/exe').strip()
        assert shown[pid].rstrip().endswith(command) and executable in shown[pid], (
            shown[pid],
            command,
            executable,
        )
    assert any(
        '/mnt/x/deep/sleep' in shown[pid] and shown[pid].rstrip().endswith('sleep 4242') for pid in pids
    )
    shared_guest.run(
        "kill $(pidof -o 1 sleep | tr ' ' '\\n' | while read p; do grep -q 4242 /proc/$p/cmdline && echo $p;"
        " done); sleep 0.2; umount /mnt/x"
    )


def test_a_new_process_is_seen_and_its_end_too(shared_guest):
    shared_guest.run('sleep 777 & echo $! > /tmp/pid')
    pid = int(shared_guest.run('cat /tmp/pid'))
    assert any(p[0] == pid and p[3] == 'sleep' for p in outside(shared_guest))
    shared_guest.run(f'kill {pid}; sleep 0.2')
    assert not any(p[0] == pid for p in outside(shared_guest))


def test_qemu_with_private_ram_is_read_through_the_process(one_socket_vm):
    # The last of its processes may still be on its way to its name.
    eventually(
        lambda: {'init', 'kthreadd', 'web-server'}
        <= {p['name'] for p in json.loads(furnace('ps', one_socket_vm, '--json').stdout)},
        10,
        'its processes',
    )


def test_commands_share_the_only_socket_with_a_partition(one_socket_vm, work):
    """Through the partition's broker: lists, profiles and snapshots, while an app reads."""
    cloud = Cloud(work, one_socket_vm)
    cloud.start_vmi()
    app = cloud.start_app(
        '''
import fe
class App:
    def __init__(self, ctx):
        # Read-only: init_task's own first word holds flags that the guest sets while it is idle.
        self.address = fe.lookup_symbol('linux_banner')
        self.first = fe.read_64_va(self.address, 0)
        fe.event_register({'event_type': fe.TIMER, 'time_value': 0.02, 'callback': self.look})
    def look(self, _):
        print('read', len(fe.process_list()) > 20, fe.read_64_va(self.address, 0) == self.first, flush=True)
'''
    )
    try:
        eventually(lambda: app.out.count('read True True') > 3, 20, 'the app')
        lists = [
            subprocess.Popen(
                [FURNACE, 'ps', one_socket_vm], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
            )
            for _ in range(20)
        ]
        for each in lists:
            out, errors = each.communicate(timeout=60)
            assert each.returncode == 0 and 'kthreadd' in out, errors
        assert 'Linux version 6.1' in furnace('profile', 'find', one_socket_vm).stdout
        snapshot = work / 'beside'
        furnace('vm', 'snapshot', one_socket_vm, snapshot)
        assert 'kthreadd' in furnace('ps', snapshot).stdout
        before = app.out.count('read True True')
        eventually(lambda: app.out.count('read True True') > before + 3, 20, 'the app to go on')
        assert 'False' not in app.out
        refused = furnace('vmi', one_socket_vm, '--vmi', work / 'second', check=False)
        assert refused.returncode != 0 and re.search(
            r'is held by furnace vmi, pid \d+', refused.stderr
        ), refused.stderr
    finally:
        cloud.stop()


def test_a_snapshot_beside_a_partition_costs_it_no_event(own_guest, work):
    """The guest stands for the snapshot; the app's events go on afterwards, in order and without a gap."""
    cloud = Cloud(work, own_guest.name)
    cloud.start_vmi()
    app = cloud.start_app(
        '''
import fe
class App:
    def __init__(self, ctx):
        fe.event_register({'event_type': fe.SYSCALL, 'number': 'sethostname', 'callback': self.tell})
        fe.events_start()
        print('ready', flush=True)
    def tell(self, event):
        print('call', flush=True)
'''
    )
    try:
        eventually(lambda: 'ready' in app.out, 20, 'the app')
        for i in range(4):
            own_guest.run(f'hostname name-{i}')
            eventually(lambda: app.out.count('call') == i + 1, 20, 'the event')
            snapshot = work / f'snapshot-{i}'
            furnace('vm', 'snapshot', own_guest.name, snapshot)
            assert 'kthreadd' in furnace('ps', snapshot).stdout
            snapshot.unlink()
            own_guest.run('true')
        killed = subprocess.Popen([FURNACE, 'vm', 'snapshot', own_guest.name, work / 'killed'])
        time.sleep(0.1)
        killed.kill()
        killed.wait()
        own_guest.run('hostname name-last')
        eventually(lambda: app.out.count('call') == 5, 20, 'the event')
    finally:
        cloud.stop()
    assert own_guest.run('echo runs on').strip() == 'runs on'


def test_twenty_lists_at_once_beside_a_partition_take_turns_at_the_free_socket(own_guest, work):
    cloud = Cloud(work, own_guest.name)
    cloud.start_vmi()
    try:
        lists = [
            subprocess.Popen(
                [FURNACE, 'ps', own_guest.name], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
            )
            for _ in range(20)
        ]
        for each in lists:
            out, errors = each.communicate(timeout=60)
            assert each.returncode == 0 and 'kthreadd' in out, errors
    finally:
        cloud.stop()


def test_where_all_sockets_are_held_the_holder_is_named_at_once(own_guest, work):
    clouds = [Cloud(work / name, own_guest.name) for name in ('one', 'two')]
    try:
        for cloud in clouds:
            cloud.start_vmi()
        for _ in range(3):  # each attempt would have filled the queue of the socket
            start = time.monotonic()
            refused = furnace('vmi', own_guest.name, '--vmi', work / 'three', check=False)
            assert refused.returncode != 0
            assert re.search(r'is held by furnace vmi, pid \d+', refused.stderr), refused.stderr
            assert time.monotonic() - start < 5
        assert 'kthreadd' in furnace('ps', own_guest.name).stdout  # by a broker
    finally:
        for cloud in clouds:
            cloud.stop()
    assert 'kthreadd' in furnace('ps', own_guest.name).stdout
