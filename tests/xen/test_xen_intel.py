"""Events that Xen has on Intel CPUs alone, on an emulated one (EPT, altp2m): a PVH guest, whose own words are the witness."""

import re
import time
from pathlib import Path

import pytest

from bed import Bed
from call_checks import NAMES, body_of
from conftest import BUILD, ROOT, RUN, wait_for
from dom0 import Partition, runs, wait_until_it_runs, why_not
from machines import Intel

pytestmark = pytest.mark.skipif(why_not(Intel) is not None, reason=str(why_not(Intel)))

MACHINE = Intel()
MEM, SYSCALL, PROCESS_EXECUTED, GUEST_REQUEST = 5, 200, 202, 206  # of an app's events
CAN_STEP = MACHINE.own is not None  # the monitor trap flag, which Bochs 2.7 lacks


@pytest.fixture(scope='module')
def bed():
    made = Bed(Path(RUN) / 'xen-intel', BUILD / 'cache' / 'xen', BUILD, ROOT, MACHINE, ('pvh',))
    made.prepare()
    try:
        made.start()
        made.start_guests()
        yield made
    finally:
        made.stop()


@pytest.fixture(scope='module')
def serving(bed):
    """It takes a while to find the kernel there: one for all."""
    made = Partition(bed, 'pvh')
    yield made
    made.stop()


WATCHING = """
self.seen = []
{register}
fe.event_register({{'event_type': fe.TIMER, 'time_value': {seconds}, 'callback': self.end}})
fe.events_start()
show('ready')
"""
WATCHING_METHODS = """
    def told(self, event):
        self.seen.append({**event._asdict(), 'text': getattr(event, 'name', '')})
    def end(self, _):
        fe.events_stop()
        show(self.seen)
        fe.exit()
"""


def watched(serving, *registrations, seconds=12):
    """The events that come of these registrations in some seconds, by their kind."""
    register = '\n'.join(f"fe.event_register({{'callback': self.told, {each}}})" for each in registrations)
    _, seen = serving.app(WATCHING.format(register=register, seconds=seconds), WATCHING_METHODS)
    kinds = {}
    for each in seen:
        kinds.setdefault(each['type'], []).append(each)
    return kinds


def test_the_host_is_explained(bed):
    assert re.search(r'^ok Xen +4\.17\.\S+ on GenuineIntel, nested paging \(HAP\), mem_access, altp2m$', bed.run('furnace doctor'), re.M)


def test_every_call(bed, serving):
    """The suite that the other drivers pass as well, all of it."""
    facts = dict(bed.facts_of('pvh'), vm='pvh', pid=int(bed.run('xl domid pvh')), access_mode=0, least_memory=250 << 20, most_memory=260 << 20)
    shown = dict(serving.show(body_of(facts)))
    assert {name: result for name, result in shown.items() if result is not True} == {}
    assert set(shown) == set(NAMES)


def test_what_the_guest_runs_is_told_by_breakpoints(bed, serving):
    """Its init runs some commands in each of its turns, one of which asks for attention with a token in RDX."""
    seen = watched(serving, "'event_type': fe.PROCESS_EXECUTED", "'event_type': fe.GUEST_REQUEST")
    assert {'/bin/true', '/bin/ask_for_attention'} <= {each['path'] for each in seen[PROCESS_EXECUTED]}
    requests = [(each['procname'], each['rdx'], each['rdi']) for each in seen[GUEST_REQUEST]]
    assert requests and set(requests) == {('ask_for_attenti', 0x5eed, 24)}
    assert runs(bed, 'pvh')


def test_system_calls_are_told(bed, serving):
    """Most are those of ps, which looks through /proc."""
    seen = watched(serving, "'event_type': fe.SYSCALL")[SYSCALL]
    assert len(seen) > 20
    assert {each['procname'] for each in seen} <= {'init', 'true', 'ps', 'sleep', 'cut', 'hostname', 'ask_for_attenti'}
    paths = {each['arguments'].get('filename') for each in seen if (each['procname'], each['text']) == ('ps', 'openat')}
    assert all(path.startswith('/proc') for path in paths if path), paths
    assert runs(bed, 'pvh')


def test_writes_of_memory_are_told(bed, serving):
    """jiffies only grows: the values of its writes follow each other. Xen sees the whole page: what else lies there passes unseen."""
    seen = watched(serving, "'event_type': fe.MEM, 'addr': fe.lookup_symbol('jiffies'), 'length': 8, 'access': 'w'")[MEM]
    old = [each['old_value'] for each in seen]
    assert len(old) > 5 and old == sorted(set(old)) and {(each['access'], each['address']) for each in seen} == {('w', seen[0]['address'])}
    if CAN_STEP:
        assert [each['new_value'] for each in seen[:-1]] == old[1:]
    else:
        assert {each['new_value'] for each in seen} == {None}
    assert runs(bed, 'pvh')


def test_execution_of_a_range_is_told(bed, serving):
    seen = watched(serving, "'event_type': fe.MEM, 'addr': fe.lookup_symbol('__x64_sys_wait4'), 'length': 16, 'access': 'x'")[MEM]
    assert all(each['access'] == 'x' and each['address'] == each['rip'] for each in seen)
    assert 'init' in {each['procname'] for each in seen}
    assert runs(bed, 'pvh')


def test_a_guest_runs_on_when_the_partition_dies_amid_events(bed, serving):
    dying = Partition(bed, 'pvh', '--unconfined')
    dying.start_app(WATCHING.format(seconds=600, register="""
for name in ('jiffies', 'init_task'):
    fe.event_register({'event_type': fe.MEM, 'addr': fe.lookup_symbol(name), 'length': 64, 'access': 'rw', 'callback': self.told})
fe.event_register({'event_type': fe.SYSCALL, 'callback': self.told})
"""), WATCHING_METHODS)
    wait_for(lambda: 'ready' in dying.said(), 200, 'events')
    time.sleep(2)
    dying.stop('KILL')
    wait_until_it_runs(bed, 'pvh')
    assert GUEST_REQUEST in watched(serving, "'event_type': fe.GUEST_REQUEST"), 'its ring is free again'
