"""Lists of a guest that hides, breaks or imitates something: what is left is listed, and marked."""

import json
import re
import struct
from pathlib import Path

import pytest

from furnace_testing import Cloud, furnace, run_app, start_guest
from furnace_testing.compiler import compile_static


@pytest.fixture(scope='module')
def vm():
    """A guest that the tests of this file change."""
    guest = start_guest()
    yield guest
    guest.stop()


def listed(source):
    return json.loads(furnace('ps', source, '--json').stdout)


def test_a_process_lives_on_after_its_first_thread(vm, work):
    binary = compile_static(Path(__file__).with_name('leaderless.c'), work / 'leaderless')
    vm.push('/tmp/leaderless', binary.read_bytes())
    vm.run('chmod +x /tmp/leaderless; (/tmp/leaderless one two &)')
    pid = int(vm.run('sleep 0.5; pidof leaderless').split()[0])
    assert 'Z (zombie)' in vm.run(f'cat /proc/{pid}/status')
    (line,) = [
        line for line in furnace('ps', vm.name, '--long').stdout.splitlines() if line.split()[0] == str(pid)
    ]
    assert line.split()[3] == 'Z' and line.endswith('/tmp/leaderless one two'), line
    vm.run(f'kill -9 {pid}')


def test_states_are_the_guests(vm):
    vm.run('sleep 3001 & kill -STOP $!; (sleep 0.1 & exec sleep 3002) & sleep 1')
    states = {p['pid']: p['state'] for p in listed(vm.name)}
    witness = {}
    for line in vm.run("sed 's/(.*)//' /proc/[0-9]*/stat 2>/dev/null").splitlines():
        pid, state = line.split()[:2]
        witness[int(pid)] = state
    assert {'S', 'T', 'Z', 'I'} <= set(witness.values())
    common = {pid for pid in witness.keys() & states.keys() if {witness[pid], states[pid]} != {'R', 'S'}}
    changing = [pid for pid in common if witness[pid] != states[pid]]
    assert len(common) > 30 and len(changing) <= 1, [(p, witness[p], states[p]) for p in changing]
    vm.run('killall -9 sleep')


def test_a_program_does_not_look_like_a_kernel_thread_by_its_name(vm):
    vm.run("sh -c 'printf [kworker] > /proc/$$/comm; sleep 3003; true' & sleep 0.5")
    table = furnace('ps', vm.name).stdout
    assert r'\[kworker]' in table, table
    (it,) = [p for p in listed(vm.name) if p['name'] == '[kworker]']
    assert not it['kernel_thread']
    vm.run(f"kill -9 {it['pid']}; killall -9 sleep")


@pytest.fixture
def dump(vm, work):
    """A raw dump, and where its processes' structures are in it."""
    cloud = Cloud(work / 'c', vm.name)
    cloud.start_vmi()
    (places,) = run_app(
        cloud,
        """
at = lambda member: fe.offset_of('task_struct', member)
show({t.tgid: [fe.checked.translate_kv2p(int(t) + at('real_cred')), fe.checked.translate_kv2p(int(t) + at('tasks'))]
      for t in fe.tasks()})
""",
    )
    cloud.stop()
    file = work / 'raw'
    furnace('vm', 'snapshot', vm.name, file, '--format', 'raw')
    return file, {int(pid): place for pid, place in places.items()}


def put(file, place, value):
    with open(file, 'r+b') as raw:
        raw.seek(place)
        raw.write(struct.pack('<Q', value))


def test_one_overwritten_pointer_costs_one_field_of_one_process(dump):
    file, places = dump
    whole = {p['pid'] for p in listed(file)}
    victim = sorted(places)[5]
    put(file, places[victim][0], 0x4141414141414141)
    found = listed(file)
    assert {p['pid'] for p in found} == whole
    assert [p['pid'] for p in found if 'problem' in p] == [victim]
    assert [p['pid'] for p in found if p['uid'] is None] == [victim]
    shown = furnace('ps', file)
    assert re.search(rf'^ +{victim} +\d+ +\? ', shown.stdout, re.M), shown.stdout
    assert f'pid {victim}: user unknown: ' in shown.stderr


def test_a_broken_list_is_read_from_both_ends(dump, work):
    file, places = dump
    whole = {p['pid'] for p in listed(file)}
    put(file, places[sorted(places)[9]][1], 0xDEAD000000000100)  # LIST_POISON1
    shown = furnace('ps', file)
    assert {int(line.split()[0]) for line in shown.stdout.splitlines()[1:]} == whole
    assert 'processes may be missing: task list' in shown.stderr, shown.stderr
    cloud = Cloud(work / 'd', file, driver='snapshot')
    cloud.start_vmi()
    (pids,) = run_app(cloud, 'show(list(fe.process_list()))')
    cloud.stop()
    assert set(pids) == whole
