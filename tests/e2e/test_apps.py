"""The example apps on a live guest, each with a witness in the guest."""

import hashlib
import json

import pytest

from furnace_testing import ROOT, a_module, eventually, run_app, run_example, start_guest


@pytest.fixture(scope='module', params=['6.1', '6.12'])
def vm(request):
    """A guest of each kernel."""
    made = start_guest(request.param)
    made.kernel = request.param
    yield made
    made.stop()


def test_the_process_list_is_the_same_in_three_ways(vm_cloud, vm):
    vm.qmp('stop')
    try:
        vm_cloud.start_vmi()
        printed = {mode: run_example(vm_cloud, 'pslist', mode) for mode in ('calls', 'batch', 'list')}
    finally:
        vm.qmp('cont')
    assert printed['calls'] == printed['batch'] == printed['list']
    seen = dict(line.split(None, 1) for line in printed['list'].splitlines())
    for line in vm.run(
        "for p in /proc/[0-9]*; do echo ${p#/proc/} $(cat $p/comm); done 2>/dev/null"
    ).splitlines():
        pid, _, name = line.partition(' ')
        if pid in seen and not name.startswith('kworker'):
            assert seen[pid] == name[:15]


def test_modules_are_those_of_lsmod(vm_cloud, vm, work):
    vm.push('/tmp/m.ko', a_module(vm.kernel, work))
    vm.run('insmod /tmp/m.ko')
    witness = {
        name: (int(size), int(base, 16))
        for name, size, _, _, _, base in (
            line.split()[:6] for line in vm.run('cat /proc/modules').splitlines()
        )
    }
    assert witness
    vm_cloud.start_vmi()
    seen = {
        name: (int(size), int(base, 16))
        for name, size, base in (line.split() for line in run_example(vm_cloud, 'modules').splitlines()[1:])
    }
    assert seen == witness


@pytest.fixture
def checked(vm_cloud):
    """The rootkit check with FAC, its first look done."""
    vm_cloud.start_vmi()
    vm_cloud.start_fac(quota=1 << 20)
    assert run_example(vm_cloud, 'rootkit_check', 'once') == '0 findings\n'

    def again():
        return [json.loads(line) for line in run_example(vm_cloud, 'rootkit_check', 'once').splitlines()[:-1]]

    return again


def test_a_task_that_hides_from_the_list_is_found(vm_cloud, vm, checked):
    """Unlinked from outside, as a rootkit does it: the guest's own ps still shows it, the task list does
    not.
    """
    vm.run('sleep 4321 & echo $! > /tmp/hidden; sleep 0.3')
    pid = int(vm.run('cat /tmp/hidden'))
    hide = f"""
task = next(t for t in fe.tasks() if t.tgid == {pid})
show([task.address_of('tasks'), int(task.tasks.next), int(task.tasks.prev)])
fe.checked.pause_vm()
task.refresh()
fe.checked.write_64_va(int(task.tasks.prev), 0, int(task.tasks.next))
fe.checked.write_64_va(int(task.tasks.next) + 8, 0, int(task.tasks.prev))
fe.checked.resume_vm()
show({pid} in fe.process_list())
"""
    (node, following, previous), listed = run_app(vm_cloud, hide)
    assert not listed
    assert vm.run(f'cat /proc/{pid}/comm') == 'sleep\n'
    assert checked() == [{'finding': 'task not in the task list', 'pid': pid, 'name': 'sleep'}]
    run_app(
        vm_cloud,
        f"""
fe.checked.pause_vm()
fe.checked.write_64_va({previous}, 0, {node})
fe.checked.write_64_va({following} + 8, 0, {node})
fe.checked.resume_vm()
""",
    )
    vm.run(f'kill {pid}')
    assert checked() == []


def test_a_hooked_system_call_is_found(vm_cloud, vm, checked):
    """getppid in the table points at getpid: where the kernel uses the table, the guest's processes see
    it.
    """
    address, value = run_app(
        vm_cloud,
        """
table = fe.checked.lookup_symbol('sys_call_table') + 8 * 110
show(table); show(fe.checked.read_64_va(table, 0))
fe.checked.write_64_va(table, 0, fe.checked.lookup_symbol('__x64_sys_getpid'))
""",
    )
    findings = checked()
    run_app(vm_cloud, f'fe.checked.write_64_va({address}, 0, {value})')
    assert [(f['finding'], f['number']) for f in findings] == [('system call changed', 110)]
    assert checked() == []


def test_changed_kernel_text_is_found(vm_cloud, vm, checked):
    """A byte of a function that nothing calls here, through a page that the guest itself can't write."""
    address, before = run_app(
        vm_cloud,
        """
place = fe.checked.lookup_symbol('panic')
show(place); show(fe.checked.read_8_va(place, 0))
fe.checked.write_8_va(place, 0, 0xcc)
""",
    )
    findings = checked()
    run_app(vm_cloud, f'fe.checked.write_8_va({address}, 0, {before})')
    assert [(f['finding'], int(f['address'], 16)) for f in findings] == [
        ('kernel text changed', address & ~0xFFF)
    ]


def test_a_memory_dump_is_the_guests_memory_and_continues_where_it_was_cut(vm_cloud, vm, work, monkeypatch):
    monkeypatch.setenv('FURNACE_DUMPS', str(work))
    vm_cloud.start_backend(ROOT / 'apps' / 'memory_dump' / 'backend')
    vm_cloud.start_proxy()
    vm_cloud.start_fac()
    vm_cloud.start_vmi()
    vm.qmp('stop')
    try:
        code = ROOT / 'apps' / 'memory_dump' / 'app'
        first = vm_cloud.start_app(code, metadata='paused')
        first.wait_log('30 % of', seconds=60)
        first.stop()
        journal = work / f'{vm.name}.raw.journal'
        had = len(journal.read_text().splitlines())
        assert 50 < had < 250
        second = vm_cloud.start_app(code, metadata='paused')
        assert second.wait_end(120) == 0, second.log
        answer = json.loads(second.out)
        assert answer['damaged'] == 0 and answer['bytes'] == 256 << 20
        lines = journal.read_text().splitlines()
        assert (
            len(lines) == 256 and len({line.split()[0] for line in lines}) == 256
        ), 'every piece was sent once'
        dumped = hashlib.sha256((work / f'{vm.name}.raw').read_bytes()).hexdigest()
        assert dumped == hashlib.sha256((vm.directory / 'ram').read_bytes()).hexdigest()
    finally:
        vm.qmp('cont')
    eventually(vm.running)
