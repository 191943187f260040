"""Example apps on events, what is refused, and what a reboot does, on a live guest."""

import json
import re
import subprocess
import time

import pytest

from furnace_testing import ROOT, Cloud, eventually, run_app, start_guest


@pytest.fixture(scope='module')
def vm():
    """A guest that the example apps of this file share."""
    guest = start_guest()
    yield guest
    guest.stop()


def start_with_backend(serving, name, metadata=''):
    """An example app with its backend; returns both processes, when events flow."""
    backend = serving.start_backend(ROOT / 'apps' / name / 'backend')
    serving.start_proxy()
    serving.start_fac()
    app = serving.start_app(ROOT / 'apps' / name / 'app', metadata=metadata)
    app.wait_log('runs')
    return app, backend


def test_the_tracer_prints_calls_as_strace_does(serving_cloud, vm):
    app = serving_cloud.start_app(
        ROOT / 'apps' / 'syscall_trace' / 'app', metadata='{"seconds": 6, "number": "openat"}'
    )
    app.wait_log('runs')
    vm.run('cat /etc/missing; cat /proc/uptime')
    assert app.wait_end(20) == 0, app.log
    assert re.search(
        r'cat +openat\(AT_FDCWD, "/etc/missing", 0x\w+, \w+\) = -1 ENOENT', app.out
    ) or re.search(r'cat +open\w*\(.*"/etc/missing".*ENOENT', app.out), app.out
    assert re.search(r'"/proc/uptime".* = 3', app.out), app.out


def test_the_tracer_prints_no_arguments_that_a_call_does_not_have(serving_cloud, vm):
    app = serving_cloud.start_app(
        ROOT / 'apps' / 'syscall_trace' / 'app', metadata='{"seconds": 4, "number": "getuid"}'
    )
    app.wait_log('runs')
    vm.run('id')
    assert app.wait_end(20) == 0, app.log
    assert re.search(r' id +getuid\(\) = 0$', app.out, re.M), app.out


def test_the_process_tree_shows_what_lives_shortly(serving_cloud, vm):
    app = serving_cloud.start_app(ROOT / 'apps' / 'process_tree' / 'app', metadata='5')
    app.wait_log('runs')
    vm.run('sh -c "true; sh -c \'exit 3\'"')
    assert app.wait_end(20) == 0, app.log
    created = re.search(r'^( *)(\d+) \+ sh$', app.out, re.M)
    assert created, app.out
    assert re.search(rf'^ *{created[2]} = /', app.out, re.M), app.out
    assert re.search(r'- sh with 3$', app.out, re.M), app.out


def test_the_file_monitor_reports_to_the_backend_what_is_opened(serving_cloud, vm):
    _, backend = start_with_backend(serving_cloud, 'file_open_monitor', '/tmp/secret* /etc/shadow')
    time.sleep(1)
    vm.run('echo x > /tmp/secret.txt; cat /etc/shadow; cat /proc/version')
    backend.wait_out(r'writes /tmp/secret.txt')
    backend.wait_out(r'cat \(\d+, user 0\) reads /etc/shadow')
    assert '/proc/version' not in backend.out


def test_more_rights_raise_an_alarm_and_fewer_do_not(serving_cloud, vm, work):
    source = work / 'rights.c'
    source.write_text(
        '''
static long call(long n, long a, long b, long c) {
  long r; __asm__ volatile("syscall" : "=a"(r) : "a"(n), "D"(a), "S"(b), "d"(c) : "rcx", "r11", "memory"); return r; }
void run(void) { call(117, 1000, 1000, 0); call(117, 0, 0, 0); call(60, 0, 0, 0); }
__asm__(".globl _start\\n_start: and $-16, %rsp\\n call run\\n");
'''
    )
    subprocess.run(['gcc', '-O1', '-s', '-static', '-nostdlib', '-o', work / 'rights', source], check=True)
    vm.push('/tmp/rights', (work / 'rights').read_bytes())
    vm.run('chmod +x /tmp/rights')
    _, backend = start_with_backend(serving_cloud, 'privilege_watch')
    time.sleep(1)
    vm.run('/tmp/rights')
    backend.wait_out('"alarm"')
    alarms = [json.loads(line) for line in backend.out.splitlines()]
    assert [(a['alarm'], a['name'], a['old_euid'], a['new_euid']) for a in alarms] == [
        ('root', 'rights', 1000, 0)
    ]
    assert 0 in alarms[0]['gained']  # CAP_CHOWN


def test_the_table_in_cpp_counts_what_a_program_does(serving_cloud, vm, work):
    subprocess.run(
        [
            'g++',
            '-std=c++20',
            '-O2',
            '-shared',
            '-fPIC',
            f'-I{ROOT}/include',
            ROOT / 'apps' / 'syscall_top' / 'app.cc',
            '-o',
            work / 'top.so',
        ],
        check=True,
    )
    app = serving_cloud.start_app(work / 'top', metadata='4')
    app.wait_log('runs')
    vm.run('dd if=/dev/zero of=/dev/null bs=1 count=300')
    assert app.wait_end(20) == 0, app.log
    told = re.findall(r'^ *(\d+) +\d+ dd +(read|write)$', app.out, re.M)
    assert {name for _, name in told} == {'read', 'write'}, app.out
    assert sum(int(count) for count, name in told if name == 'read') >= 300


@pytest.mark.parametrize(
    'event, reason',
    [
        ("{'event_type': fe.INT, 'bp_addr': 0xffffc00000000000}", 'not mapped|unmapped|not present|no page'),
        ("{'event_type': fe.INT, 'bp_addr': 0x400000}", 'address of user space'),
        ("{'event_type': fe.INT, 'bp_addr': 0x400000, 'bp_pid': 999999}", 'no process with pid 999999'),
        ("{'event_type': fe.SYSCALL, 'number': 'opnat'}", "no system call of x86-64 is named 'opnat'"),
        ("{'event_type': fe.MEM, 'addr': fe.lookup_symbol('jiffies'), 'length': 0}", 'nothing to watch'),
        ("{'event_type': fe.MEM, 'addr': fe.lookup_symbol('_stext'), 'length': 2 << 20}", 'at most 1048576'),
        ("{'event_type': fe.MEM, 'addr': 0xfffffe0000000000}", 'CPU entry area|mapped|present'),
        (
            (
                "{'event_type': fe.MEM, 'addr': fe.read_addr_va(fe.process_list()[1]['process_block_ptr'] + "
                "fe.lookup_structure('task_struct', 'stack'), 0) + 64}"
            ),
            'kernel stack of process 1',
        ),
        (
            "{'event_type': fe.MEM, 'addr': fe.lookup_symbol('jiffies'), 'access': 'wq'}",
            "expected letters of 'rwx'",
        ),
        ("{'event_type': fe.REG, 'reg_type': fe.CR4}", 'only CR3'),
        ("{'event_type': 77}", "'event_type' is 77"),
    ],
)
def test_what_cannot_be_watched_is_refused_with_the_reason(serving_cloud, event, reason):
    shown = run_app(
        serving_cloud,
        f'''
try:
    fe.event_register(dict({event}, callback=print))
    show('registered')
except (fe.VmiError, ValueError) as error:
    show(str(error))
''',
    )
    assert re.search(reason, shown[0]), shown


def test_events_of_other_apps_and_more_than_200_are_refused(serving_cloud):
    other = '22222222-2222-2222-2222-222222222222-app'
    keeper = serving_cloud.start_app(
        'import fe\nclass App:\n    def __init__(self, ctx):\n'
        '        print(fe.event_register({\'event_type\': fe.REG, \'callback\': print}), flush=True)\n'
    )
    keeper.wait_out(r'\d')
    identifier = int(keeper.out)
    code = f'''import fe
class App:
    def __init__(self, ctx):
        try:
            fe.checked.event_clear({identifier})
        except fe.VmiError as error:
            print(error)
        for i in range(201):
            try:
                fe.event_register({{'event_type': fe.REG, 'callback': print}})
            except fe.VmiError as error:
                print(i, error)
        fe.exit()
'''
    app = serving_cloud.start_app(code, app=other)
    assert app.wait_end(20) == 0, app.log
    assert f'no event {identifier}' in app.out
    assert re.search('^200 .*(200 events|too many)', app.out, re.M), app.out


def test_a_reboot_ends_events_at_addresses_and_the_others_continue(work):
    vm = start_guest()
    made = Cloud(work, vm.name)
    try:
        made.start_vmi()
        app = made.start_app(
            '''import fe
class App:
    def __init__(self, ctx):
        fe.event_register({'event_type': fe.INT, 'bp_addr': fe.lookup_symbol('commit_creds'), 'callback': print,
                           'on_end': lambda reason: print('ended:', reason, flush=True)})
        fe.event_register({'event_type': fe.PROCESS_CREATED, 'callback': self.created})
        fe.events_start()
        print('ready', flush=True)
    def created(self, event):
        print('created', event.subject_name, flush=True)
'''
        )
        app.wait_out('ready')
        vm.run('true | true')
        app.wait_out('created')
        vm.qmp('system_reset')
        app.wait_out('ended: the guest was reset', 20)
        vm.meet_the_shell()
        before = app.out.count('created sh')
        vm.run('true | true')
        eventually(lambda: app.out.count('created sh') >= before + 2, 10, 'processes of the rebooted guest')
        assert app.out.count('ended:') == 1, app.out
        labels = {each['label'] for each in vm.qmp('query-chardev')}
        assert 'furnace-gdb' in labels
        app.stop(9)
        eventually(
            lambda: vm.running() and 'furnace-gdb' not in {each['label'] for each in vm.qmp('query-chardev')}
        )
    finally:
        made.stop()
        vm.stop()


def test_without_events_the_stub_is_not_open(serving_cloud, vm):
    run_app(serving_cloud, 'show(len(fe.process_list()))')
    assert 'furnace-gdb' not in {each['label'] for each in vm.qmp('query-chardev')}


def test_an_operators_pause_is_respected_while_the_guest_is_watched(serving_cloud, vm):
    app = serving_cloud.start_app(
        '''import fe
class App:
    def __init__(self, ctx):
        self.count = 0
        fe.event_register({'event_type': fe.PROCESS_CREATED, 'callback': lambda event: print('created', flush=True)})
        fe.events_start()
        print('ready', flush=True)
'''
    )
    app.wait_out('ready')
    vm.run('true | true')
    vm.qmp('stop')
    time.sleep(0.5)
    assert not vm.running()
    vm.qmp('cont')
    before = app.out.count('created')
    vm.run('true | true')
    eventually(lambda: app.out.count('created') > before, what='events after the pause')
