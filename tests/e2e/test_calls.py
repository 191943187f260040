"""Every call of the protocol on a live guest: one check a row. docs/calls.md is made of the same table."""

import tempfile
from pathlib import Path

import pytest

from furnace_testing import ROOT, Cloud, furnace, run_app, start_guest
from furnace_testing.call_checks import NAMES, ROWS, body_of


@pytest.fixture(scope='module')
def partition(tmp_path_factory):
    """Partitions on a guest whose facts the checks know."""
    vm = start_guest()
    vm.run('echo 0 > /proc/sys/kernel/kptr_restrict')
    stack = next(line for line in vm.run('cat /proc/1/maps').splitlines() if '[stack]' in line)
    facts = {
        'vm': vm.name,
        'pid': vm.pid,
        'init_task': int(vm.run("grep ' init_task$' /proc/kallsyms").split()[0], 16),
        'stack': int(stack.split()[0].split('-')[1], 16) - 4096,
        'access_mode': 1,  # LibVMI: VMI_KVM
        'least_memory': 256 << 20,
        'most_memory': 256 << 20,
    }
    cloud = Cloud(Path(tempfile.mkdtemp(prefix='furnace-e2e-', dir='/tmp')), vm.name)
    cloud.start_vmi()
    cloud.facts = facts
    yield cloud
    cloud.stop()
    vm.stop()
    import shutil

    shutil.rmtree(cloud.work)


@pytest.fixture(scope='module')
def results(partition):
    """All checks in one app: {call: True, or what happened instead}."""
    return dict(run_app(partition, body_of(partition.facts), seconds=60))


@pytest.mark.parametrize('name', NAMES)
def test_call(results, name):
    """A row without a check fails here."""
    assert results[name] is True


def test_the_documented_table_is_that_of_the_program():
    assert (ROOT / 'docs' / 'calls.md').read_text() == furnace('calls', '--markdown').stdout
    assert len([since for _, _, since in ROWS if since == '1.0']) == 61


def test_writes_that_the_guest_could_not_do_succeed_with_a_note(partition):
    """A read-only page of the kernel's data: written, with a note in the answer's `reason`."""
    before, results = run_app(
        partition,
        """
place = fe.checked.lookup_symbol('linux_banner') + 200
before = fe.checked.read_8_va(place, 0)
show(before)
show(fe.batch([{'type': 'WRITE_8_VA', 'label': 'w', 'args': {'vaddr': place, 'pid': 0, 'value': before ^ 1}},
               {'type': 'READ_8_VA', 'label': 'r', 'args': {'vaddr': place, 'pid': 0}},
               {'type': 'WRITE_8_VA', 'label': 'back', 'args': {'vaddr': place, 'pid': 0, 'value': before}},
               {'type': 'WRITE_8_VA', 'label': 'missing', 'args': {'vaddr': 8, 'pid': 0, 'value': 1}}]))
""",
    )
    assert results['w']['status'] == 0 and 'read-only for the guest' in results['w']['reason']
    assert results['r']['result'] == before ^ 1 and results['back']['status'] == 0
    assert results['missing']['status'] == 1 and 'not mapped' in results['missing']['reason']


def test_batches_are_labelled_linked_and_refused_by_call(partition):
    text, size, state, again, errors = run_app(
        partition,
        """
b = fe.batch_new()
b.add('head', 'LOOKUP_SYMBOL', {'symbol_name': 'init_task'})
b.add('comm', 'LOOKUP_STRUCTURE', {'structure_name': 'task_struct', 'structure_key': 'comm'})
b.add('name', 'READ_STR_VA', {'vaddr': fe.get_offset('linux_name'), 'pid': 0}, 'head', 'result', 'vaddr', fe.ADD)
fe.batch_send(b)
show([r['result'] for r in b.results() if r['name'] == 'name'])
show(b.results_size())
show(b.state)
b.state = 2
fe.batch_send(b)
show([b.state, len(list(b.results()))])
def error(calls):
    try: fe.batch(calls)
    except fe.VmiError as e: return str(e)
read = {'type': 'READ_8_VA', 'label': 'a', 'args': {'vaddr': 8, 'pid': 0}}
show([error([]), error([read] * 1001), error([{**read, 'link': (0, 0, 0, 1)}]), error([read, {**read, 'link': (0, 9, 0, 1)}]),
      error([read, {**read, 'link': (0, 0, 9, 1)}]), error([read, {**read, 'link': (0, 0, 2, 1)}]), error([read, {**read, 'link': (5, 0, 0, 1)}]),
      error([{'type': 'READ_9_VA'}]), error([{**read, 'args': {'nonsense': 1}}]), error([{**read, 'args': {'vaddr': 'text'}}])])
""",
    )
    assert text == ['swapper/0'] and (size, state, again) == (3, 4, [3, 3])
    for error, expected in zip(
        errors,
        [
            '1 to 1000 calls',
            '1 to 1000 calls',
            '(error 10 at 0)',
            '(error 18 at 1)',
            '(error 22 at 1)',
            '(error 25 at 1)',
            '(error 11 at 1)',
            "no call 'READ_9_VA'",
            "has no field 'nonsense', but vaddr, pid, link",
            'is a number, not text',
        ],
    ):
        assert expected in error, error


def test_structures_are_read_by_their_members(partition):
    values, error, members = run_app(
        partition,
        """
init = fe.struct('task_struct', fe.lookup_symbol('init_task'))
first = next(iter(fe.tasks()))
show([init.comm, init.pid, first.comm, first.real_parent.deref().comm, first.cred.deref().uid.val, int(first.tasks) - int(first) == fe.get_offset('linux_tasks'),
      len(dir(init)) > 100, repr(init.mm), int(first.refresh()) == int(first), first.address_of('comm') - int(first) == fe.get_offset('linux_name')])
def error(f):
    try: f()
    except (fe.VmiError, AttributeError) as e: return str(e)
show([error(lambda: init.nonsense), error(lambda: fe.struct('nonsense', 0)), error(lambda: fe.struct('list_head', 8)), error(lambda: init.mm.deref())])
show(fe.layout('list_head')[1])
""",
    )
    assert values[:5] == ['swapper/0', 0, 'init', 'swapper/0', 0] and values[5:7] == [True, True]
    assert values[7] == "Pointer(0x0, 'mm_struct')" and values[8:] == [True, True]
    assert "has no member 'nonsense'" in error[0] and "no structure 'nonsense'" in error[1]
    assert 'not mapped' in error[2] and 'not mapped' in error[3]
    assert members['prev'] == {'bit_offset': 64, 'kind': 2, 'size': 8, 'type': 'list_head'}
