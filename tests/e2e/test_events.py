"""Events of a live guest, against what a program in the guest says it did: nothing lost, nothing invented."""

import json
import re
import time
from pathlib import Path

import pytest

from furnace_testing import APP, Cloud, a_module, eventually, run_app, start_guest
from furnace_testing.compiler import compile_static

WITNESS = Path(__file__).with_name('witness.c')


@pytest.fixture(scope='module')
def witness_binary(tmp_path_factory):
    """A program for guests that reports what it does itself."""
    binary = compile_static(WITNESS, tmp_path_factory.mktemp('witness') / 'witness')
    return binary.read_bytes()


@pytest.fixture(
    scope='module',
    params=[('6.1', 1, ''), ('6.12', 2, ''), ('6.1', 4, 'pti=on')],
    ids=lambda p: f'{p[0]}-{p[1]}cpu{p[2]}',
)
def vm(request, witness_binary):
    """Guests of several kernels and numbers of vCPUs, each with the witness."""
    kernel, cpus, append = request.param
    guest = start_guest(kernel, append, cpus=str(cpus))
    guest.push('/tmp/witness', witness_binary)
    guest.run('chmod +x /tmp/witness')
    guest.kernel = kernel
    yield guest
    guest.stop()


# An app that registers what it is told to, prints every event as a line of JSON, and ends at 'done' in a
# file.
RECORDER = '''
import fe, json, os
class App:
    def __init__(self, ctx):
        self.done, registrations = json.loads(ctx['metadata'])
        for each in registrations:
            each = {{key: getattr(fe, value[3:]) if isinstance(value, str) and value.startswith('fe.') else value
                    for key, value in each.items()}}
            print(json.dumps({{'id': fe.event_register(dict(each, callback=self.record))}}), flush=True)
        fe.events_start()
        print(json.dumps('ready'), flush=True)
        fe.event_register({{'event_type': fe.TIMER, 'time_value': 0.05, 'callback': self.look}})
    def record(self, event):
        {extra}
        print(json.dumps(dict(event._asdict(), tid=event.tid, lost=event.lost, old_cr3=event.old_cr3)))
    def look(self, _):
        if os.path.exists('/opt/furnace/vmi_socket/' + self.done):
            fe.exit()
'''


class Recorder:
    def __init__(self, serving, *registrations, extra='pass'):
        # In the directory of its socket, which it sees.
        self.done = serving.vmi_dir / APP / f'done-{time.monotonic_ns()}'
        self.app = serving.start_app(
            RECORDER.format(extra=extra), json.dumps([self.done.name, registrations])
        )
        self.app.wait_out('"ready"', 20)

    def events(self):
        """All that came until now; ends the app, when what is on its way has come."""
        count = -1
        while count != (count := self.app.out_file.stat().st_size):
            time.sleep(0.3)
        self.done.touch()
        assert self.app.wait_end(30) == 0, self.app.log
        assert 'raised' not in self.app.log, self.app.log
        shown = [json.loads(line) for line in self.app.out.splitlines()]
        return [event for event in shown if isinstance(event, dict) and 'type' in event]


def witness(vm, arguments):
    """Runs the program in the guest; what it printed: {word: number}."""
    shown = vm.run(f'/tmp/witness {arguments}')
    return {word: int(number) for word, number in re.findall(r'(\w+) (\d+)', shown)}


def detached(command):
    """In the background, but no child of the console's shell: one that ends while it reads a line makes it
    end as well.
    """
    return f'(setsid {command} < /dev/null &)'


class Interactive:
    """The program in the background; it goes on when it is told to."""

    def __init__(self, vm, arguments):
        self.vm = vm
        vm.run(f'rm -f /tmp/go /tmp/out; {detached(f"/tmp/witness {arguments} > /tmp/out")}')
        self.said = eventually(lambda: self._read(2), what='witness')

    def _read(self, words):
        said = {word: int(number) for word, number in re.findall(r'(\w+) (\d+)', self.vm.run('cat /tmp/out'))}
        return said if len(said) >= words else None

    def go(self):
        self.vm.run('touch /tmp/go')
        return eventually(lambda: self._read(3), 60, 'end of the witness')


def test_each_system_call_of_a_program_is_reported_once_with_its_arguments(vm, serving_cloud):
    count = 10_000
    recorder = Recorder(serving_cloud, {'event_type': 'fe.SYSCALL', 'number': 'getppid'})
    said = witness(vm, f'g {count}')
    events = [event for event in recorder.events() if event['pid'] == said['pid']]
    assert len(events) == count
    assert {(e['name'], e['number'], e['procname'], e['uid']) for e in events} == {
        ('getppid', 110, 'witness', 0)
    }
    assert {e['rip'] for e in events} != {0}
    assert sum(e['lost'] for e in events) == 0


def test_forks_and_ends_of_processes_are_reported_once_each(vm, serving_cloud):
    count = 1000
    recorder = Recorder(
        serving_cloud, {'event_type': 'fe.PROCESS_CREATED'}, {'event_type': 'fe.PROCESS_EXITED'}
    )
    said = witness(vm, f'f {count}')
    events = recorder.events()
    created = [e['subject_pid'] for e in events if e['subject_pid'] and e['pid'] == said['pid']]
    ended = [
        (e['pid'], e['exit_status'] >> 8)
        for e in events
        if e['exit_status'] is not None and e['pid'] in set(created)
    ]
    assert len(created) == len(set(created)) == count
    assert ended == [(pid, i % 100) for i, pid in enumerate(created)]


def test_writes_to_a_page_are_reported_in_order_with_old_and_new_values(vm, serving_cloud):
    count = 500
    program = Interactive(vm, f'w {count}')
    page, pid = program.said['page'], program.said['pid']
    recorder = Recorder(serving_cloud, {'event_type': 'fe.MEM', 'addr': page, 'length': 4096, 'pid': pid})
    program.go()
    events = recorder.events()
    assert [(e['address'], e['new_value']) for e in events] == [
        (page + 8 * (i % 512), i + 1000) for i in range(count)
    ]
    assert [e['old_value'] for e in events[:3]] == [1, 0, 0]
    assert {(e['access'], e['pid'], e['procname']) for e in events} == {('w', pid, 'witness')}


def test_writes_of_the_kernel_to_physical_memory_are_reported(vm, serving_cloud):
    count = 50
    program = Interactive(vm, f'm {count}')
    place = run_app(
        serving_cloud, f"show(fe.translate_uv2p({program.said['page'] + 16}, {program.said['pid']}))"
    )[0]
    recorder = Recorder(
        serving_cloud,
        {'event_type': 'fe.MEM', 'gpa': place, 'length': 8},
        extra="assert event.gpa == %d, event.gpa" % place,
    )
    assert program.go()['wrote'] == count
    events = recorder.events()
    assert [(e['old_value'], e['new_value']) for e in events] == [(i, i + 1) for i in range(count)]
    assert {e['procname'] for e in events} == {'witness'}


def test_a_breakpoint_in_a_process_is_reported_at_each_call(vm, serving_cloud):
    count = 300
    program = Interactive(vm, f'c {count}')
    function, pid = program.said['function'], program.said['pid']
    recorder = Recorder(
        serving_cloud,
        {'event_type': 'fe.INT', 'bp_addr': function, 'bp_pid': pid},
        {'event_type': 'fe.INT', 'bp_addr': function, 'bp_pid': pid},
    )
    program.go()
    events = recorder.events()
    first, second = sorted({e['identifier'] for e in events})
    for identifier in (first, second):
        assert [e['rdi'] for e in events if e['identifier'] == identifier] == list(range(count))
    assert {(e['rip'], e['pid']) for e in events} == {(function, pid)}


def test_system_calls_are_reported_with_arguments_and_results(vm, serving_cloud):
    recorder = Recorder(serving_cloud, {'event_type': 'fe.SYSCALL', 'number': 'openat', 'returns': True})
    vm.run('cat /etc/nothing-here; cat /proc/version')
    events = [e for e in recorder.events() if e['procname'] == 'cat']
    entries = {e['tid']: e['arguments'].get('pathname') for e in events if not e['is_return']}
    returns = {e['tid']: e['return_value'] for e in events if e['is_return']}
    paths = {entries[tid]: returns[tid] for tid in returns}
    assert paths['/etc/nothing-here'] == -2  # ENOENT
    assert paths['/proc/version'] >= 3


def test_programs_that_are_executed_are_reported_with_their_path(vm, serving_cloud):
    recorder = Recorder(serving_cloud, {'event_type': 'fe.PROCESS_EXECUTED'})
    said = witness(vm, 'g 1')
    events = [e for e in recorder.events() if e['pid'] == said['pid']]
    assert [(e['path'], e['procname']) for e in events] == [('/tmp/witness', 'witness')]


def test_a_change_of_user_is_reported_with_both_ids(vm, serving_cloud):
    recorder = Recorder(serving_cloud, {'event_type': 'fe.CREDENTIALS'})
    said = witness(vm, 'u 1234')
    assert said['setuid'] == 0
    events = [e for e in recorder.events() if e['pid'] == said['pid']]
    assert [(e['old_uid'], e['new_uid'], e['old_euid'], e['new_euid'], e['procname']) for e in events] == [
        (0, 1234, 0, 1234, 'witness')
    ]
    assert events[0]['old_capabilities'] != 0 == events[0]['new_capabilities']


def test_a_module_is_reported_when_it_is_loaded(vm, serving_cloud, work):
    vm.push('/tmp/m.ko', a_module(vm.kernel, work))
    recorder = Recorder(serving_cloud, {'event_type': 'fe.MODULE_LOADED'})
    vm.run('insmod /tmp/m.ko')
    (name,) = re.findall(r'^(\S+) ', vm.run('cat /proc/modules'), re.M)
    vm.run(f'rmmod {name}; insmod /tmp/m.ko; rmmod {name}; insmod /tmp/missing.ko')
    events = recorder.events()
    assert [(e['module'], e['procname'], e['uid']) for e in events] == [(name, 'insmod', 0)] * 2
    assert all(e['address'] >> 47 == 0x1FFFF for e in events)


def test_breakpoints_report_the_same_as_watched_writes(vm, work):
    """The way of a guest under KVM."""
    made = Cloud(work, vm.name)
    try:
        made.start_vmi('--events-by', 'breakpoints')
        recorder = Recorder(
            made,
            {'event_type': 'fe.REG', 'reg_type': 'fe.CR3'},
            {'event_type': 'fe.PROCESS_CREATED'},
            {'event_type': 'fe.PROCESS_EXITED'},
            {'event_type': 'fe.SYSCALL', 'number': 'getppid', 'returns': True},
        )
        forker, caller = witness(vm, 'f 10'), witness(vm, 'g 50')
        events = recorder.events()
        assert sum(e['lost'] for e in events) == 0
        created = [
            e['subject_pid']
            for e in events
            if 'subject_pid' in e and e['exit_status'] is None and e['pid'] == forker['pid']
        ]
        ended = [e['pid'] for e in events if e.get('exit_status') is not None and e['pid'] in set(created)]
        assert len(created) == 10 and ended == created
        calls = [
            (e['is_return'], e['return_value']) for e in events if 'number' in e and e['pid'] == caller['pid']
        ]
        assert [is_return for is_return, _ in calls] == [False, True] * 50
        last = {}
        switches = [e for e in events if e['old_cr3'] is not None]
        assert len(switches) > 20  # to each process and back
        for event in switches:
            assert last.get(event['vcpu'], event['old_cr3']) == event['old_cr3']
            last[event['vcpu']] = event['cr3']
    finally:
        made.stop()
    wait_for_the_end_of_the_stub(vm)


def test_filters_by_process_and_user_let_nothing_else_through(vm, serving_cloud):
    program = Interactive(vm, 'g 50 wait')
    recorder = Recorder(
        serving_cloud,
        {'event_type': 'fe.SYSCALL', 'number': 'getppid', 'uid': 4321},
        {'event_type': 'fe.SYSCALL', 'number': 'getppid', 'pid': program.said['pid']},
    )
    witness(vm, 'g 20')
    program.go()
    events = recorder.events()
    assert {e['pid'] for e in events} == {program.said['pid']}
    assert len(events) == 50


def test_address_space_switches_follow_each_other_on_each_vcpu(vm, serving_cloud):
    recorder = Recorder(serving_cloud, {'event_type': 'fe.REG', 'reg_type': 'fe.CR3'})
    program = Interactive(vm, 'f 20 wait')
    program.go()
    events = recorder.events()
    assert len(events) > 40
    last = {}
    for event in events:
        if event['vcpu'] in last and event['lost'] == 0:
            assert event['old_cr3'] == last[event['vcpu']]
        assert event['old_cr3'] is None or event['old_cr3'] >> 13 != event['cr3'] >> 13
        last[event['vcpu']] = event['cr3']
    assert len({event['cr3'] >> 13 for event in events}) > 2


def test_a_kernel_function_is_reported_with_its_arguments(vm, serving_cloud):
    symbol = run_app(serving_cloud, "show(fe.lookup_symbol('commit_creds'))")[0]
    recorder = Recorder(serving_cloud, {'event_type': 'fe.INT', 'bp_addr': symbol, 'bp_pid': 0})
    said = witness(vm, 'u 77')
    events = [e for e in recorder.events() if e['pid'] == said['pid']]
    assert events and {e['rip'] for e in events} == {symbol}
    assert all(e['rdi'] >= 1 << 63 for e in events)


def test_a_sync_event_keeps_the_guest_standing_while_the_callback_runs(vm, serving_cloud):
    recorder = Recorder(
        serving_cloud,
        {'event_type': 'fe.SYSCALL', 'number': 'getppid', 'sync': 'fe.SYNC'},
        extra=(
            "a = fe.get_vcpureg('rip', event.vcpu); b = fe.get_vcpureg('rip', event.vcpu); assert a == b,"
            " (a, b)"
        ),
    )
    said = witness(vm, 'g 200')
    events = [e for e in recorder.events() if e['pid'] == said['pid']]
    assert len(events) == 200
    assert vm.running()


def test_the_watchdog_resumes_the_guest_and_notifies_the_app(vm, serving_cloud):
    recorder = Recorder(
        serving_cloud,
        {'event_type': 'fe.SYSCALL', 'number': 'getppid', 'sync': 'fe.SYNC'},
        extra=(
            'import time; time.sleep(1.5 if not hasattr(self, "slept") else 0); self.slept = True; '
            'print(json.dumps({"timed_out": event.timed_out}))'
        ),
    )
    started = time.monotonic()
    witness(vm, 'g 3')
    assert time.monotonic() - started > 0.9
    recorder.events()
    timed_out = [
        json.loads(line)['timed_out'] for line in recorder.app.out.splitlines() if 'timed_out' in line
    ]
    assert timed_out[0] == 0 and 1 in timed_out
    assert vm.running()


def kernel_text(serving):
    code = (
        "a, b = fe.lookup_symbol('_stext'), fe.lookup_symbol('_etext');"
        " show(__import__('hashlib').sha256(fe.read_va(a, 0, min(b - a, 12 << 20))).hexdigest())"
    )
    return run_app(serving, code)[0]


def work_on(vm, arguments):
    """The guest runs the program again and again."""
    vm.run(
        'rm -f /tmp/stop; '
        + detached(
            f'sh -c "while [ ! -e /tmp/stop ]; do /tmp/witness {arguments}; done; echo over 1" > /tmp/work'
            ' 2>&1'
        )
    )


def results_of_work(vm):
    """Ends it; the different checksums it came to."""
    vm.run('touch /tmp/stop')
    eventually(lambda: 'over' in vm.run('cat /tmp/work'), 60, 'the end of the work')
    return {int(each) for each in re.findall(r'checksum (\d+)', vm.run('cat /tmp/work'))}


def wait_for_the_end_of_the_stub(vm):
    """No character device of ours is left, and the guest runs; a guard sees to it once its partition has
    ended.
    """

    def gone():
        return 'furnace-gdb' not in {each['label'] for each in vm.qmp('query-chardev')} and vm.running()

    eventually(gone, 10, 'the end of the stub')


@pytest.mark.parametrize('how', ['app', 'vmi', 'cut', 'clear'])
def test_the_guest_is_not_harmed(vm, work, how):
    """Events on a busy guest end in every way there is: its workload comes out right, its text is what it
    was, it runs.
    """
    expected = witness(vm, 's 200')['checksum']
    made = Cloud(work, vm.name)
    try:
        vmi = made.start_vmi()
        before = kernel_text(made)
        work_on(vm, 's 200')
        target = run_app(made, "show(fe.lookup_symbol('wake_up_new_task'))")[0]
        recorder = Recorder(
            made,
            {'event_type': 'fe.INT', 'bp_addr': target, 'bp_pid': 0},
            {'event_type': 'fe.SYSCALL'},
            {'event_type': 'fe.REG'},
            {'event_type': 'fe.PROCESS_CREATED'},
        )
        eventually(lambda: recorder.app.out.count('\n') > 300, 60, 'events')
        if how == 'app':
            recorder.app.stop(9)
        elif how == 'vmi':
            vmi.stop(9)
            recorder.app.stop(9)
        elif how == 'cut':
            vm.qmp('human-monitor-command', **{'command-line': 'gdbserver none'})
            count = recorder.app.out.count('\n')
            eventually(lambda: recorder.app.out.count('\n') > count + 300, 30, 'events after the cut')
            recorder.app.stop(9)
        else:
            recorder.done.touch()  # it ends while events come
            assert recorder.app.wait_end(30) == 0
        wait_for_the_end_of_the_stub(vm)
        time.sleep(0.5)
        assert results_of_work(vm) == {expected}
        if how == 'vmi':
            made.start_vmi()
        assert kernel_text(made) == before
    finally:
        made.stop()


def test_a_thousand_registrations_under_load_leave_nothing_behind(vm, serving_cloud):
    expected = witness(vm, 's 100')['checksum']
    work_on(vm, 's 100')
    shown = run_app(
        serving_cloud,
        """
a = fe.lookup_symbol('wake_up_new_task')
for i in range(1000):
    kind = ({'event_type': fe.INT, 'bp_addr': a, 'bp_pid': 0}, {'event_type': fe.REG}, {'event_type': fe.SYSCALL})[i % 3]
    fe.event_clear(fe.event_register(dict(kind, callback=print)))
show(True)
""",
        seconds=120,
    )
    assert shown == [True]
    assert results_of_work(vm) == {expected}
    wait_for_the_end_of_the_stub(vm)


def test_a_slow_app_loses_events_and_slows_no_other(vm, serving_cloud):
    count = 12000
    slow_app = '22222222-2222-2222-2222-222222222222-app'
    awake = serving_cloud.vmi_dir / slow_app / 'awake'  # in the directory of its socket, which it sees
    slow = serving_cloud.start_app(
        '''import fe, json, os, time
class App:
    def __init__(self, ctx):
        fe.event_register({'event_type': fe.SYSCALL, 'number': 'getppid', 'callback': self.tell})
        fe.events_start()
        self.told = self.lost = 0
        print('ready', flush=True)
    def tell(self, event):
        while not os.path.exists('/opt/furnace/vmi_socket/awake'):
            time.sleep(0.1)
        self.told += 1
        self.lost += event.lost
        if event.lost:
            print(json.dumps([self.told, self.lost]), flush=True)
''',
        app=slow_app,
    )
    slow.wait_out('ready')
    recorder = Recorder(serving_cloud, {'event_type': 'fe.SYSCALL', 'number': 'getppid'})
    said = witness(vm, f'g {count}')
    events = [e for e in recorder.events() if e['pid'] == said['pid']]
    assert len(events) == count and sum(e['lost'] for e in events) == 0
    awake.touch()
    time.sleep(1)  # until it has taken what is in its queue
    # What is told while its queue is still full is lost as well.
    told, lost = json.loads(
        eventually(
            lambda: witness(vm, 'g 5') and re.search(r'\[.*\]', slow.out), 20, 'the count of what was lost'
        )[0]
    )
    assert lost > 0 and told + lost >= count
