"""Events that Xen has on Intel CPUs alone, on an emulated one (EPT, altp2m): a PVH guest, whose own words are
the witness.
"""

import re
import time
from pathlib import Path

import pytest

from bed import Bed
from dom0 import Partition, wait_until_it_runs, why_not
from furnace_testing import BUILD, ROOT, RUN
from furnace_testing.call_checks import NAMES, body_of
from machines import Intel, TooSlow
from watching import WATCHED, seen_by, start_watching

pytestmark = pytest.mark.skipif(why_not(Intel) is not None, reason=str(why_not(Intel)))

MACHINE = Intel()
CAN_STEP = MACHINE.own is not None  # the monitor trap flag, which Bochs 2.7 lacks
# A host on which dom0 takes longer runs a reduced form: what only an Intel CPU shows, once. In its whole form
# these tests would take a third of the time that CI has. Who names a Bochs waits for it.
WHOLE_FORM_SECONDS, LONGEST_SECONDS = 100, 400


@pytest.fixture(scope='module')
def bed():
    """A Xen host with an Intel CPU and its guest, which this file shares."""
    intel = Bed(
        Path(RUN) / 'xen-intel', BUILD / 'cache' / 'xen', BUILD, ROOT, MACHINE, ('pvh',), confined=False
    )
    try:
        with intel.running(patience=None if MACHINE.own else LONGEST_SECONDS) as made:
            made.is_reduced = MACHINE.own is None and made.seconds_to_dom0 > WHOLE_FORM_SECONDS
            yield made
    except TooSlow as why:
        pytest.skip(str(why))


@pytest.fixture(scope='module')
def serving(bed):
    """Everything takes its time there: one partition for all, until the last test kills it."""
    made = Partition(bed, 'pvh', '--unconfined')
    yield made
    made.stop()


@pytest.fixture
def whole_form(bed):
    """Skips the test where the bed runs in its reduced form."""
    if bed.is_reduced:
        pytest.skip('this host is slow: the Intel bed runs in its reduced form')


def phases_of(bed, driver):
    """What is watched."""
    left_out = {'requests'} if driver == 'libvmi' else set()
    if bed.is_reduced:
        left_out |= {'requests', 'system calls', 'execution'}
    return {name: events for name, events in WATCHED.items() if name not in left_out}


@pytest.fixture(
    scope='module',
    params=[
        'xen',
        pytest.param(
            'libvmi',
            marks=pytest.mark.skipif(
                b'libvmi.so' not in (BUILD / 'bin' / 'furnace-vmi').read_bytes(),
                reason='this build has no LibVMI driver',
            ),
        ),
    ],
)
def seen(request, bed):
    """The events that each driver reported."""
    if request.param == 'xen':
        return seen_by(request.getfixturevalue('serving'), phases_of(bed, 'xen')) | {'driver': 'xen'}
    through = Partition(bed, 'pvh', '--driver', 'libvmi', '--unconfined')
    try:
        return seen_by(through, phases_of(bed, 'libvmi')) | {'driver': 'libvmi'}
    finally:
        through.stop()


def test_the_host_is_explained(bed):
    views = 'altp2m' if MACHINE.views else 'no altp2m'
    assert re.search(
        rf'^ok Xen +4\.17\.\S+ on GenuineIntel, nested paging \(HAP\), mem_access, {views}$',
        bed.run('furnace doctor'),
        re.M,
    )


def test_every_call(bed, serving, whole_form):
    """The suite that the other drivers pass as well; on the slower machine, what the AMD bed leaves out of
    it.
    """
    facts = dict(
        bed.facts_of('pvh'),
        vm='pvh',
        pid=int(bed.run('xl domid pvh')),
        access_mode=0,
        least_memory=250 << 20,
        most_memory=260 << 20,
    )
    names = NAMES if MACHINE.own else ['event_register', 'start_syscall', 'stop_syscall']
    shown = dict(serving.show(body_of(facts, names)))
    assert {name: result for name, result in shown.items() if result is not True} == {}
    assert set(shown) == set(names)


def test_what_the_guest_runs_is_reported_by_breakpoints(seen):
    """Its init runs some commands in each of its turns."""
    assert {'/bin/true', '/bin/ask_for_attention'} <= {each['path'] for each in seen['commands']}


def test_the_guest_asks_for_attention(whole_form, seen):
    """With a token in RDX."""
    if seen['driver'] == 'xen':
        assert {(each['procname'], each['rdx'], each['rdi']) for each in seen['requests']} == {
            ('ask_for_attenti', 0x5EED, 24)
        }


def test_system_calls_are_reported(whole_form, seen):
    """Most are those of ps, which looks through /proc."""
    told = seen['system calls']
    assert len(told) > 20
    assert {each['procname'] for each in told} <= {
        'init',
        'true',
        'exe',
        'ps',
        'sleep',
        'cut',
        'hostname',
        'ask_for_attenti',
    }
    paths = {
        each['arguments'].get('filename')
        for each in told
        if (each['procname'], each['text']) == ('ps', 'openat')
    }
    assert all(path.startswith('/proc') for path in paths if path), paths


def test_writes_of_memory_are_reported(seen):
    """jiffies only grows: the values of its writes follow each other. Xen sees the whole page: what else lies
    there passes unseen.
    """
    told = seen['writes']
    old = [each['old_value'] for each in told]
    assert (
        len(old) > 5
        and old == sorted(set(old))
        and {(each['access'], each['address']) for each in told} == {('w', told[0]['address'])}
    )
    if CAN_STEP and seen['driver'] == 'xen':
        assert [each['new_value'] for each in told[:-1]] == old[1:]
    else:
        assert {each['new_value'] for each in told} == {None}


def test_execution_of_a_range_is_reported(whole_form, seen):
    told = seen['execution']
    if not (CAN_STEP and seen['driver'] == 'xen'):
        assert 'execution of a range needs a CPU that single-steps' in told
        return
    assert all(each['access'] == 'x' and each['address'] == each['rip'] for each in told)
    assert len({each['address'] for each in told}) > 1


def test_the_guest_continues_when_nothing_is_watched_any_more(bed, seen):
    assert seen
    wait_until_it_runs(bed, 'pvh')


def test_a_guest_continues_when_the_partition_is_killed_amid_events(bed, serving, whole_form):
    start_watching(
        serving,
        {
            'everything': (
                WATCHED['system calls']
                + WATCHED['writes']
                + [
                    "'event_type': fe.MEM, 'addr': fe.lookup_symbol('init_task'), 'length': 64, 'access':"
                    " 'rw'"
                ]
            )
        },
    )
    serving.wait_said('WATCHING', 40)
    time.sleep(2)
    serving.stop('KILL')
    wait_until_it_runs(bed, 'pvh')
