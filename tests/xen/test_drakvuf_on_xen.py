"""DRAKVUF itself with our plugin in it, on an emulated Intel CPU. FURNACE_DRAKVUF_PROGRAM names the program
(tests/e2e/test_drakvuf.py builds one); it needs the monitor trap flag, which a Bochs newer than Debian's has
(FURNACE_BOCHS)."""

import os
from pathlib import Path

import pytest

from bed import Bed
from dom0 import Partition, assert_each_rule_is_used, wait_until_it_runs, why_not
from furnace_testing import BUILD, ROOT, RUN
from machines import Intel
from watching import WATCHED, seen_by

PROGRAM = os.environ.get('FURNACE_DRAKVUF_PROGRAM')
MACHINE = Intel()
pytestmark = [
    pytest.mark.skipif(why_not(Intel) is not None, reason=str(why_not(Intel))),
    pytest.mark.skipif(
        not PROGRAM or not MACHINE.own,
        reason='no DRAKVUF (FURNACE_DRAKVUF_PROGRAM), or no newer Bochs (FURNACE_BOCHS)',
    ),
]

# DRAKVUF and LibVMI open Xen's libraries by the names that are for developers.
LIBRARIES = {
    'xenctrl': '4.17',
    'xenguest': '4.17',
    'xenlight': '4.17',
    'xenstore': '4',
    'xentoollog': '1',
    'xenforeignmemory': '1',
}


class BedWithDrakvuf(Bed):
    def add_programs(self, archive):
        super().add_programs(archive)
        archive.program(PROGRAM, 'bin/drakvuf')
        archive.program(BUILD / 'bin' / 'furnace-inspect', 'opt/furnace/bin/furnace-inspect')
        for name, version in LIBRARIES.items():
            archive.link(f'usr/lib/x86_64-linux-gnu/lib{name}.so', f'lib{name}.so.{version}')


@pytest.fixture(scope='module')
def bed():
    """A Xen host with DRAKVUF, which this file shares."""
    MACHINE.dom0_memory = '1700M'
    with BedWithDrakvuf(
        Path(RUN) / 'xen-drakvuf', BUILD / 'cache' / 'xen', BUILD, ROOT, MACHINE, ('pvh',), confined=False
    ).running() as made:
        yield made


UNDER_ITS_POLICY = 'furnace inspect --policy /opt/furnace/policies/drakvuf.policy --'


class Drakvuf(Partition):
    """DRAKVUF in place of a VMI partition."""

    def __init__(self, bed, under):
        self.bed, self.directory = bed, '/opt/furnace/vmi_socket'
        # dom0 has no AVX there, and simdjson does not ask the system. DRAKVUF's own tracers take most of the
        # guest's time.
        bed.run(
            (
                f'mkdir -p {self.directory} /opt/kernels/rekall; furnace profile export pvh --unconfined'
                ' --format rekall -o /opt/kernels/rekall/pvh.json'
            ),
            300,
        )
        bed.run(
            f'(SIMDJSON_FORCE_IMPLEMENTATION=westmere {under} drakvuf -x syscalls -x filetracer -r'
            f' /opt/kernels/rekall/pvh.json -d pvh >{self.directory}.log 2>&1 </dev/null & echo $!'
            f' >{self.directory}.pid)'
        )
        self.wait_log('serving VM', 40)


PHASES = {name: WATCHED[name] for name in ('commands', 'system calls', 'writes')} | {
    'execution': [
        "'event_type': fe.MEM, 'addr': fe.lookup_symbol('__x64_sys_wait4'), 'length': 16, 'access': 'x'"
    ]
}


@pytest.fixture
def drakvuf(bed):
    """A function that starts DRAKVUF in place of a VMI partition."""
    made = []

    def start(under):
        made.append(Drakvuf(bed, under))
        return made[-1]

    yield start
    for each in made:
        each.stop()


def test_drakvuf_serves_calls_and_its_traps_are_events_under_its_policy(bed, drakvuf):
    serving = drakvuf(UNDER_ITS_POLICY)
    count, name = serving.show('show(len(fe.checked.process_list())); show(fe.get_name())')
    assert count > 30 and name == 'pvh'
    seen = seen_by(serving, PHASES)
    assert {'/bin/true', '/bin/ask_for_attention'} <= {each['path'] for each in seen['commands']}
    assert len({(each['procname'], each['text']) for each in seen['system calls']}) > 5
    assert seen['writes'] and {(each['access'], each['address']) for each in seen['writes']} == {
        ('w', seen['writes'][0]['address'])
    }
    assert seen['execution'] and all(each['address'] == each['rip'] for each in seen['execution'])
    assert 'violation' not in serving.log()
    serving.stop()
    wait_until_it_runs(bed, 'pvh')


def test_each_rule_of_its_policy_is_needed(bed, drakvuf):
    """By what the same calls and traps need; everything takes longer meanwhile, so what they see is not
    looked at.
    """
    serving = drakvuf('furnace policy learn -o /tmp/drakvuf.policy --')
    serving.show('show(len(fe.checked.process_list()))')
    seen_by(serving, PHASES)
    serving.stop()
    assert_each_rule_is_used('drakvuf.policy', bed.run('cat /tmp/drakvuf.policy'))
