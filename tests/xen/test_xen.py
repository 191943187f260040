"""The Xen driver on a real Xen: Debian's hypervisor and dom0 under QEMU, with a PV and a PVH guest. What the
guests say themselves is the witness.
"""

import re
import subprocess
import time
from pathlib import Path

import pytest

from bed import GUESTS, Bed
from dom0 import (
    Partition,
    assert_each_rule_is_used,
    runs,
    same_processes,
    wait_in,
    wait_until_it_runs,
    why_not,
)
from furnace_testing import BUILD, ROOT, RUN, Cloud
from furnace_testing.attack_checks import assert_stopped
from furnace_testing.call_checks import NAMES, body_of
from machines import Amd

pytestmark = pytest.mark.skipif(why_not(Amd) is not None, reason=str(why_not(Amd)))


@pytest.fixture(scope='module')
def bed():
    """A Xen host with an AMD CPU and its guests, which this file shares."""
    with Bed(Path(RUN) / 'xen', BUILD / 'cache' / 'xen', BUILD, ROOT).running() as made:
        yield made


@pytest.fixture
def partition(bed):
    """A function that starts a VMI partition of a guest; it exits with the test."""
    made = []

    def make(domain, *flags):
        made.append(Partition(bed, domain, *flags))
        return made[-1]

    yield make
    for each in made:
        each.stop()


@pytest.mark.parametrize('guest', GUESTS)
def test_processes_are_those_that_the_guest_has_itself(bed, guest):
    assert same_processes(bed, guest) > 30


def test_the_commands_of_the_documentation(bed):
    block = re.search(r'```dom0\n(.*?)```', (ROOT / 'docs' / 'xen.md').read_text(), re.S)[1]
    commands = re.findall(r'^\$ (.*)', block, re.M)
    assert len(commands) >= 3
    for command in commands:
        said = bed.run(f'{command} && echo WELL')
        if not command.endswith('doctor'):
            assert said.endswith('WELL\n'), said
        else:  # it misses QEMU, which dom0 of the bed has not
            assert re.search(
                (
                    r'^-- Xen +4\.17\.\S+ on AuthenticAMD, nested paging \(HAP\)\n +-> events of CR3 and'
                    r' breakpoints'
                ),
                said,
                re.M,
            ), said


def test_the_bed_explains_itself():
    shown = subprocess.run(
        [ROOT / 'scripts' / 'xen-testbed', '--help'], capture_output=True, text=True, check=True
    ).stdout
    assert 'Usage: scripts/xen-testbed [--amd | --intel] [COMMAND]' in shown


def test_a_domain_goes_by_its_name_number_and_uuid(bed):
    number = bed.run('xl domid pvh').strip()
    uuid = bed.run('xl list -l pvh | grep -m1 \'"uuid"\'').split('"')[3]
    for name in ('pvh', number, uuid):
        assert 'kthreadd' in bed.run(f'furnace ps {name}')
    assert (
        bed.run('furnace ps nobody')
        .strip()
        .endswith("no Xen domain 'nobody'; there are: Domain-0 (0), pv (1), pvh (2)")
    )
    assert 'domain 0 is the one we run in' in bed.run('furnace ps 0')


# Breakpoints would be the guest's death here: QEMU 7.2 does not let SVM intercept INT3
# (target/i386/tcg/excp_helper.c).
BY_BREAKPOINT = ('start_syscall', 'stop_syscall')
EVENTS = ('event_register', *BY_BREAKPOINT)


@pytest.mark.parametrize(
    ('guest', 'flags'),
    [('pv', ()), ('pvh', ()), ('pvh', ('--unconfined',))],
    ids=['pv', 'pvh', 'pvh-unconfined'],
)
def test_every_call(bed, partition, guest, flags):
    """The suite that the other drivers pass as well."""
    facts = dict(
        bed.facts_of(guest),
        vm=guest,
        pid=int(bed.run(f'xl domid {guest}')),
        access_mode=0,
        least_memory=250 << 20,
        most_memory=260 << 20,
    )
    left_out = EVENTS if guest == 'pv' else BY_BREAKPOINT
    names = [name for name in NAMES if name not in left_out]
    shown = dict(partition(guest, *flags).show(body_of(facts, names)))
    assert {name: result for name, result in shown.items() if result is not True} == {}
    assert set(shown) == set(names)


@pytest.mark.skipif(
    b'libvmi.so' not in (BUILD / 'bin' / 'furnace-vmi').read_bytes(), reason='this build has no LibVMI driver'
)
def test_every_call_through_libvmi(bed, partition):
    """LibVMI's own Xen driver beneath ours for LibVMI: memory, registers, pauses, events of CR3."""
    facts = dict(
        bed.facts_of('pvh'),
        vm='pvh',
        pid=int(bed.run('xl domid pvh')),
        access_mode=0,
        least_memory=250 << 20,
        most_memory=260 << 20,
    )
    names = [name for name in NAMES if name not in BY_BREAKPOINT]
    serving = partition('pvh', '--driver', 'libvmi', '--unconfined')
    shown = dict(serving.show(body_of(facts, names)))
    assert {name: result for name, result in shown.items() if result is not True} == {}
    assert set(shown) == set(names)
    _, seen = serving.app(CR3_APP, CR3_METHODS)
    assert {'init', 'sleep', 'ps'} & set(seen), seen
    serving.stop()
    wait_until_it_runs(bed, 'pvh')


class TakenOver:
    """VMI partitions whose program is an attack: it has the policy, the view and the handles of
    furnace-vmi.
    """

    def __init__(self, bed):
        self.bed = bed
        bed.run('mkdir -p /tmp/taken && cp -a /opt/furnace/vmi_filesystem /tmp/taken/')

    def run(self, attack, *flags):
        return self.bed.run(
            f'cp /attacks/{attack} /tmp/taken/vmi_filesystem/usr/bin/furnace-vmi\nFURNACE_DIR=/tmp/taken'
            f' timeout 120 furnace vmi pvh {" ".join(flags)} --vmi /tmp/taken/vmi </dev/null; echo "ended'
            ' with $?"'
        )


@pytest.fixture(scope='module')
def taken_over(bed):
    """A program in the place of furnace-vmi, confined as it is."""
    return TakenOver(bed)


OF_XEN = {path.stem for path in (ROOT / 'tests' / 'xen' / 'attacks').glob('*.c')}


@pytest.mark.parametrize('attack', Bed.attacks(ROOT), ids=lambda path: path.stem)
def test_who_takes_a_vmi_partition_over_has_nothing_of_the_host(bed, taken_over, attack):
    said = taken_over.run(attack.stem)
    assert_stopped(attack, int(re.search(r'ended with (\d+)', said)[1]), said, said, '/usr/bin/furnace-vmi')
    if attack.stem in OF_XEN:
        assert bed.run(f'/attacks/{attack.stem}') == 'BROKE OUT\n', 'it works without the walls'


def test_each_rule_of_the_policy_for_xen_is_needed(bed):
    """What partitions do that find no kernel, are given a profile, serve confined apps, show their counters,
    and find another one in their place.
    """
    bed.run(
        "sed 's/name = \"pvh\"/name = \"booting\"/; s/256/128/' /guest/pvh.cfg >/guest/booting.cfg; xl create"
        " -p /guest/booting.cfg; mkdir -p /tmp/learn/app"
    )
    bed.run('furnace profile export pvh --format rekall -o /tmp/learn/profile.json')
    bed.run(
        "printf 'import fe\\nclass App:\\n    def __init__(self, ctx):\\n        fe.process_list();"
        " fe.exit()\\n' >/tmp/learn/app.py"
    )
    said = ''
    for domain, flags, until in (
        ('booting', '', 'no kernel yet'),
        ('pvh', '--profile /tmp/learn/profile.json --metrics /tmp/learn/metrics', 'serving VM'),
    ):
        log = f'/tmp/learn/{domain}.log'
        bed.run(
            f'(furnace vmi {domain} {flags} --learn /tmp/learn/{domain} --vmi'
            f' /tmp/learn/vmi-{domain} >{log} 2>&1 </dev/null & echo $! >/tmp/learn/pid)'
        )
        wait_in(bed, f'grep -q "{until}" {log}', 30, until)
        if domain == 'pvh':
            said = bed.run(
                'furnace app -c /tmp/learn/app --u2 test-app --vmi /tmp/learn/vmi-pvh </dev/null; furnace top'
                ' --once /tmp/learn/metrics 2>&1'
            )
            assert 'another VMI partition serves there' in bed.run(
                'furnace vmi pvh --learn /tmp/learn/second --vmi /tmp/learn/vmi-pvh 2>&1 </dev/null'
            )
        bed.run(
            'kill $(cat /tmp/learn/pid); while kill -0 $(cat /tmp/learn/pid) 2>/dev/null; do sleep 0.2; done'
        )
    bed.run('xl destroy booting')
    assert_each_rule_is_used(
        'vmi-xen.policy', bed.run('cat /tmp/learn/booting /tmp/learn/second /tmp/learn/pvh'), said
    )


@pytest.mark.parametrize('attack', ['hypercall', 'restrict_anew'])
def test_the_device_it_was_lent_makes_no_hypercalls_without_the_policy_either(taken_over, attack):
    said = taken_over.run(attack, '--no-inspect')
    assert 'NOT INSPECTED' in said and 'ended with 0' in said and 'BROKE OUT' not in said, said


def test_a_broker_that_gets_nonsense_releases_the_guest(bed, taken_over):
    said = taken_over.run('ask_nonsense')
    assert 'ended with 0' in said
    wait_in(bed, '! pidof furnace-broker >/dev/null', 10, 'the end of the broker')
    wait_until_it_runs(bed, 'pvh')


@pytest.mark.parametrize(
    ('how', 'guest'),
    [('resume', 'pv'), ('app dies', 'pvh'), ('partition dies', 'pv'), ('partition dies', 'pvh')],
)
def test_a_guest_stays_paused_until_its_app_or_the_partition_ends(bed, partition, guest, how):
    serving = partition(guest)
    serving.start_app(
        'fe.pause_vm()\nshow("paused")\ntime.sleep(8)\n'
        + ('fe.resume_vm()' if how == 'resume' else 'time.sleep(60)')
    )
    serving.wait_said('paused')
    time.sleep(1.5)  # what is on its way to the console
    assert not runs(bed, guest)
    if how == 'app dies':
        bed.run(f'kill -9 $(cat {serving.directory}.app.pid)')
    elif how == 'partition dies':
        serving.stop('KILL')
    wait_until_it_runs(bed, guest)


def test_the_host_name_that_we_write_is_the_one_the_guest_has(bed, partition):
    partition('pvh').show(
        """
names = fe.lookup_symbol('init_uts_ns') + fe.lookup_structure('uts_namespace', 'name')
place = names + fe.lookup_structure('new_utsname', 'nodename')
assert fe.read_str_va(place, 0) == 'guest', fe.read_str_va(place, 0)
fe.checked.write_va(place, 0, b'renamed\\0')
"""
    )
    wait_in(bed, f'tail -n 100 {bed.console("pvh")} | grep -q "^BEGIN .* renamed"', 10, 'the new name')


CR3_APP = """
self.seen = {}
fe.event_register({'event_type': fe.REG, 'callback': self.switched})
fe.event_register({'event_type': fe.TIMER, 'time_value': 5, 'callback': self.end})
fe.events_start()
show('ready')
"""
CR3_METHODS = """
    def switched(self, event):
        self.seen.setdefault(event.procname, set()).add(event.cr3 & ~0xfff)
    def end(self, _):
        show({name: len(roots) for name, roots in self.seen.items()})
        fe.exit()
"""


def test_writes_of_cr3_are_reported_with_who_wrote_them(bed, partition):
    _, seen = partition('pvh').app(CR3_APP, CR3_METHODS)
    assert {'init', 'sleep', 'ps'} & set(seen), seen
    assert sum(seen.values()) > 5
    wait_until_it_runs(bed, 'pvh')


def test_a_guest_continues_when_the_partition_is_killed_amid_events(bed, partition):
    serving = partition('pvh')
    serving.start_app(CR3_APP.replace("'time_value': 5", "'time_value': 60"), CR3_METHODS)
    serving.wait_said('ready')
    time.sleep(1)
    serving.stop('KILL')
    wait_until_it_runs(bed, 'pvh')
    _, seen = partition('pvh').app(CR3_APP, CR3_METHODS)
    assert seen, 'its ring is free again'


def test_what_a_domain_cannot_do_is_named(bed, partition):
    (shown,) = partition('pv').show(
        """
try: fe.event_register({'event_type': fe.REG, 'callback': print})
except fe.VmiError as e: show(str(e))
"""
    )
    assert "'pv' is a PV guest: Xen has events only of HVM and PVH guests" in shown
    holder, other = partition('pvh'), partition('pvh')
    (shown,) = holder.show(
        """
try: fe.event_register({'event_type': fe.MEM, 'addr': fe.lookup_symbol('jiffies'), 'length': 8, 'access': 'w', 'callback': print})
except fe.VmiError as e: show(str(e))
"""
    )
    assert "memory events need Intel's EPT" in shown
    holder.start_app(CR3_APP.replace("'time_value': 5", "'time_value': 300"), CR3_METHODS)
    holder.wait_said('ready')
    (shown,) = other.show(
        """
try: fe.event_register({'event_type': fe.REG, 'callback': print})
except fe.VmiError as e: show(str(e))
"""
    )
    assert 'another program has the monitor ring of domain' in shown


def test_a_guest_continues_when_its_broker_is_killed(bed, partition):
    serving = partition('pvh')
    serving.start_app('fe.pause_vm()\nshow("paused")\ntime.sleep(60)')
    serving.wait_said('paused')
    bed.run('killall -9 furnace-broker')
    wait_until_it_runs(bed, 'pvh')
    serving.wait_log("VM 'pvh' has exited")


BACKEND = """
import be
class AppBE:
    def __init__(self, ctx):
        be.event_register({'event_type': be.FE, 'callback': self.message})
    def message(self, ctx):
        with open(%r, 'a') as file:
            file.write(ctx.message + '\\n')
        return 'thank you'
"""

TELLING_APP = """
import fe
class App:
    def __init__(self, ctx):
        names = [process['name'] for process in fe.checked.process_list().values()]
        fe.notify(f'{fe.get_name()} runs ' + ' '.join(names))
        fe.io_set('seen', str(len(names)))
        print('BACKEND SAYS', fe.request('are you there?'), fe.io_get('seen'), flush=True)
        fe.exit()
"""


@pytest.mark.parametrize('guest', GUESTS)
def test_all_partitions_of_an_app_in_dom0_and_its_backend_on_another_host(bed, partition, work, guest):
    """VMI, APP and FAC are confined; proxy and backend run here, which dom0 reaches as 10.0.2.2."""
    cloud, heard = Cloud(work, guest), work / 'heard'
    try:
        cloud.start_backend(BACKEND % str(heard)).wait_log('listening')
        cloud.start_proxy().wait_log('connected')
        place = f'/tmp/tenant-{guest}'
        for name in ('app.key', 'be.pub'):
            bed.run(
                f"mkdir -p {place}/keys; umask 077; cat >"
                f" {place}/keys/{name} <<'EOF'\n{(cloud.keys / name).read_text()}EOF"
            )
        bed.run(f"cat > {place}/app.py <<'EOF'\n{TELLING_APP}EOF")
        serving = partition(guest)
        bed.run(
            f'(furnace fac --u2 dom0-app --kp {place}/keys --ip 10.0.2.2 --it {cloud.inside} --fac'
            f' {place}/fac_socket >{place}/fac.log 2>&1 </dev/null &)'
        )
        wait_in(bed, f'grep -q "connected to the proxy" {place}/fac.log', 30, 'FAC')
        said = bed.run(
            (
                f'furnace app -c {place}/app --u2 dom0-app --vmi {serving.directory} --fac {place}/fac_socket'
                ' </dev/null'
            ),
            480,
        )
        assert re.search(r'BACKEND SAYS thank you \d+', said), said
        assert 'NOT CONFINED' not in serving.log() + said
        first, second = heard.read_text().splitlines()
        assert first.startswith(f'{guest} runs ') and ' kthreadd' in first and second == 'are you there?'
    finally:
        bed.run('killall furnace-fac furnace')
        cloud.stop()


def test_the_end_of_a_domain_is_noticed(bed, partition):
    serving = partition('pvh')
    bed.run('xl destroy pvh')
    serving.wait_log("VM 'pvh' has exited")
    assert "no Xen domain 'pvh'; there are: Domain-0 (0), pv (1)" in bed.run('furnace ps pvh')
