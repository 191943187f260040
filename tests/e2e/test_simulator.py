"""The simulator: guests described in TOML, what happens in them, and hostile ones."""

import json
import re
import time

import pytest

from furnace_testing import ROOT, furnace, resident_mb, run_app, run_example

OFFICE = '''
name = "office"
seed = 7
levels = 5
kaslr = true
vcpus = 2
[[task]]
pid = 1
name = "init"
args = ["/sbin/init", "splash"]
executable = "/sbin/init"
files = ["/dev/console"]
[[task]]
pid = 2
name = "kthreadd"
kernel_thread = true
[[task]]
pid = 300
parent = 1
uid = 33
name = "nginx"
files = ["/dev/null", "/var/log/nginx/access.log"]
sockets = [{protocol = "tcp", local = "10.0.0.5:443", remote = "10.0.0.9:40122"}, {protocol = "udp", local = "0.0.0.0:53"}]
[[task]]
pid = 301
parent = 300
name = "worker"
[[task]]
pid = 70000
parent = 1
name = "far"
[[module]]
name = "ext4"
size = 811008
[[symbol]]
name = "motd"
text = "welcome"
[[symbol]]
name = "jiffies"
value = 4294937296
'''


def test_every_example_app_runs_on_it(described_cloud):
    cloud = described_cloud(OFFICE)
    cloud.start_vmi()
    lists = [run_example(cloud, 'pslist', mode) for mode in ('calls', 'batch', 'list')]
    assert (
        lists[0]
        == lists[1]
        == lists[2]
        == '      1 init\n      2 kthreadd\n    300 nginx\n    301 worker\n  70000 far\n'
    )
    assert run_example(cloud, 'modules').splitlines()[1].split()[:2] == ['ext4', '811008']
    files = run_example(cloud, 'open_files')
    assert '300 nginx               1  /var/log/nginx/access.log' in files
    assert re.search(r'socket:\[\d+\]  tcp stream 10.0.0.5:443 -> 10.0.0.9:40122 ESTABLISHED\n', files), files
    assert re.search(r'socket:\[\d+\]  udp dgram 0.0.0.0:53 -> 0.0.0.0:0\n', files), files
    cloud.start_fac(quota=1 << 20)
    assert run_example(cloud, 'rootkit_check', 'once') == '0 findings\n'
    first = cloud.start_app(ROOT / 'apps' / 'first' / 'app')
    assert first.wait_end(20) == 0 and 'jiffies: 4294937296' in first.out


def test_the_rootkit_check_finds_what_a_description_hides(described_cloud):
    cloud = described_cloud(
        OFFICE
        + '''
[[change]]
at = 6.0
hide = 301
[[change]]
at = 6.0
hook = {syscall = 59, symbol = "commit_creds"}
[[change]]
at = 6.0
patch = "do_exit"
'''
    )
    cloud.start_vmi()
    started = time.monotonic()
    cloud.start_fac(quota=1 << 20)
    assert run_example(cloud, 'rootkit_check', 'once').splitlines()[-1] == '0 findings'
    time.sleep(max(0, 7.5 - (time.monotonic() - started)))  # the guest's clock stood during the look
    found = [json.loads(line) for line in run_example(cloud, 'rootkit_check', 'once').splitlines()[:-1]]
    assert [f['finding'] for f in found] == [
        'task not in the task list',
        'system call changed',
        'kernel text changed',
    ]
    assert found[0]['pid'] == 301 and found[1]['number'] == 59


def test_changes_happen_in_their_order_and_wait_while_the_guest_is_paused(described_cloud):
    cloud = described_cloud(
        OFFICE
        + '''
[[change]]
at = 4.0
start = {pid = 400, parent = 300, name = "late", files = ["/etc/passwd"]}
[[change]]
at = 4.2
exit = 300
[[change]]
at = 4.2
load = {name = "loop"}
[[change]]
at = 4.3
unload = "ext4"
[[change]]
at = 4.4
write = {symbol = "jiffies", value = 5}
'''
    )
    cloud.start_vmi()
    before, paused, after, parents, modules, jiffies = run_app(
        cloud,
        """
import furnace_linux
fe.pause_vm()
show(sorted(fe.process_list()))
time.sleep(5)
show(sorted(fe.process_list()))
fe.resume_vm()
time.sleep(5)
show(sorted(fe.process_list()))
show({t.tgid: t.real_parent.deref().tgid for t in fe.tasks()})
show([m.name for m in furnace_linux.modules()])
show(fe.read_64_ksym('jiffies'))
""",
    )
    assert before == paused == [1, 2, 300, 301, 70000]
    assert after == [1, 2, 301, 400, 70000]
    assert parents['400'] == 1 and parents['301'] == 1, 'children of a task that ended are init\'s'
    assert modules == ['loop'] and jiffies == 5


def test_a_seed_decides_everything(work):
    def digest(seed, name):
        directory = work / name
        directory.mkdir()
        (directory / 'g.toml').write_text(OFFICE.replace('seed = 7', f'seed = {seed}'))
        furnace('vm', 'snapshot', directory / 'g.toml', directory / 'raw', '--format', 'raw')
        return (directory / 'raw').read_bytes()

    assert digest(7, 'a') == digest(7, 'b') != digest(8, 'c')


def test_a_snapshot_of_it_is_read_with_its_exported_profile(work):
    (work / 'g.toml').write_text(OFFICE)
    furnace('vm', 'snapshot', work / 'g.toml', work / 'snap.elf')
    expected = furnace('ps', work / 'g.toml').stdout
    for kind in ('isf', 'rekall'):
        furnace('profile', 'export', work / 'g.toml', '--format', kind, '-o', work / f'p.{kind}')
        assert furnace('profile', 'show', work / f'p.{kind}', 'task_struct.comm').stdout.startswith(
            'task_struct.comm: '
        )
    assert 'nginx' in expected


EVENTS = (
    OFFICE
    + '''
[[event]]
kind = "syscall"
at = 3.0
every = 0.001
count = 50
pid = 300
vcpu = 1
number = 257
arguments = [1, 2, 3, 4, 5, 6]
[[event]]
kind = "cr3"
at = 3.1
pid = 301
[[event]]
kind = "int"
at = 3.2
pid = 301
symbol = "commit_creds"
[[event]]
kind = "int"
at = 3.25
pid = 300
symbol = "commit_creds"
[[event]]
kind = "mem"
at = 3.3
pid = 300
symbol = "jiffies"
value = 77
'''
)


def test_scripted_events_reach_the_apps_that_asked(described_cloud):
    cloud = described_cloud(EVENTS)
    cloud.start_vmi()
    app = cloud.start_app(
        '''
import fe, json
class App:
    def __init__(self, ctx):
        self.seen = []
        creds = fe.lookup_symbol('commit_creds')
        keep = lambda name: lambda e: self.seen.append((name, e._asdict(), fe.read_64_ksym('jiffies')))
        fe.start_syscall(keep('syscall'), fe.SYNC)
        fe.event_register({'event_type': fe.REG, 'reg_type': fe.CR3, 'sync': fe.ASYNC, 'callback': keep('cr3')})
        fe.event_register({'event_type': fe.INT, 'bp_pid': 300, 'bp_addr': creds, 'sync': fe.SYNC, 'callback': keep('int of 300')})
        fe.event_register({'event_type': fe.INT, 'bp_pid': 0, 'bp_addr': creds, 'callback': keep('int')})
        fe.event_register({'event_type': fe.MEM, 'addr': fe.lookup_symbol('jiffies'), 'access': 'rw', 'sync': fe.SYNC, 'callback': self.last})
        fe.events_start()
    def last(self, e):
        print(json.dumps(self.seen + [('mem', e._asdict(), fe.read_64_ksym('jiffies'))]))
        fe.shutdown()
'''
    )
    assert app.wait_end(20) == 0, app.log
    seen = json.loads(app.out)
    assert [name for name, _, _ in seen] == ['syscall'] * 50 + ['cr3', 'int', 'int of 300', 'int', 'mem']
    _, syscall, _ = seen[0]
    assert (syscall['rax'], syscall['rdi'], syscall['r9'], syscall['vcpu']) == (257, 1, 6, 1)
    assert (syscall['pid'], syscall['ppid'], syscall['uid'], syscall['procname']) == (300, 1, 33, 'nginx')
    _, mem, jiffies = seen[-1]
    assert (mem['access'], mem['old_value'], mem['new_value'], jiffies) == ('w', 4294937296, 77, 77)


def test_a_sync_event_that_is_not_resumed_is_ended_by_the_watchdog(described_cloud):
    cloud = described_cloud(EVENTS)
    vmi = cloud.start_vmi('--watchdog', '200')
    app = cloud.start_app(
        '''
import fe, time
class App:
    def __init__(self, ctx):
        self.count = 0
        fe.start_syscall(self.hang, fe.SYNC)
    def hang(self, e):
        self.count += 1
        if self.count == 1:
            time.sleep(1)
        if self.count == 50:
            fe.shutdown()
'''
    )
    vmi.wait_log('kept the guest paused for 200 ms', seconds=20)
    assert app.wait_end(20) == 0, app.log


def test_events_need_events_start_and_belong_to_their_app(described_cloud):
    cloud = described_cloud(EVENTS)
    cloud.start_vmi()
    first, error, limit, bad = run_app(
        cloud,
        """
def expect(f, *a):
    try:
        f(*a)
    except (fe.VmiError, ValueError, TypeError) as e:
        return str(e)
seen = []
fe.event_register({'event_type': fe.REG, 'reg_type': fe.CR3, 'callback': seen.append})
show(fe.event_clear(1))
show(expect(fe.event_clear, 1))
creds = fe.lookup_symbol('commit_creds')
spec = lambda **more: {'event_type': fe.INT, 'bp_addr': creds, 'callback': seen.append, **more}
ids = [fe.event_register(spec()) for _ in range(200)]
show(expect(fe.event_register, spec()))
show([expect(fe.event_register, spec(bp_addr=8)), expect(fe.event_register, spec(bp_pid=99999)), expect(fe.event_register, spec(sync=5)),
      expect(fe.event_register, {'event_type': fe.MEM, 'addr': creds, 'access': 'q', 'callback': seen.append}),
      expect(fe.event_register, {'event_type': fe.REG, 'reg_type': fe.CR4, 'callback': seen.append}),
      expect(fe.event_register, {'event_type': fe.INT, 'bp_addr': 'x', 'callback': seen.append}),
      expect(fe.event_register, {'event_type': fe.INT, 'bp_addr': creds, 'callback': None}),
      expect(fe.event_register, {'event_type': 77, 'callback': seen.append})])
""",
    )
    assert first is True and error == 'event_clear: no event with id 1'
    assert 'too many events are registered (error 202' in limit
    for text, expected in zip(
        bad,
        [
            '(error 202',
            '(error 202',
            "'sync' is 5",
            "'access' is 'q'",
            'only CR3',
            "'bp_addr' is 'x'",
            "'callback' is None",
            'expected TIMER, BE, REG, INT, MEM, SYSCALL',
        ],
    ):
        assert expected in text


def test_a_table_of_pids_that_runs_in_a_circle_is_refused(described_cloud):
    cloud = described_cloud(OFFICE)
    cloud.start_vmi()
    before, error = run_app(
        cloud,
        """
import furnace_linux
show(sorted(furnace_linux.pid_table()))
head = int(fe.struct('pid_namespace', fe.lookup_symbol('init_pid_ns')).idr.idr_rt.xa_head)
slots = (head & ~3) + fe.lookup_structure('xa_node', 'slots')
for slot in range(64):
    fe.checked.write_64_va(slots + 8 * slot, 0, head)
try:
    furnace_linux.pid_table()
except fe.VmiError as e:
    show(str(e))
""",
    )
    assert before == [1, 2, 300, 301, 70000] and 'has a circle' in error


@pytest.mark.parametrize(
    'hostility',
    ['cyclic_task_list', 'self_mapped_tables', 'wild_pointers', 'huge_arrays', 'invalid_utf8', 'all'],
)
def test_hostile_guests_cost_failures_and_nothing_else(described_cloud, hostility):
    kinds = (
        ['cyclic_task_list', 'self_mapped_tables', 'wild_pointers', 'huge_arrays', 'invalid_utf8']
        if hostility == 'all'
        else [hostility]
    )
    cloud = described_cloud(f'hostile = {json.dumps(kinds)}\n' + OFFICE)
    vmi = cloud.start_vmi()
    for name, metadata in (('pslist', 'list'), ('pslist', 'calls'), ('modules', ''), ('open_files', '')):
        app = cloud.start_app(ROOT / 'apps' / name / 'app', metadata=metadata)
        app.wait_end(60)
    status, names = run_app(cloud, "show(fe.status()); show([p['name'] for p in fe.process_list().values()])")
    assert status == 1 and vmi.process.poll() is None
    assert resident_mb(vmi.pid) < 150
    if hostility == 'invalid_utf8':
        assert any('\ufffd' in name for name in names)


BAD = {
    'no toml': ('name = ', 'guest.toml:1: '),
    'unknown key': ('nmae = "x"', "guest.toml:1: unknown key 'nmae'"),
    'wrong type': ('memory_mb = "big"', "'memory_mb': expected a whole number"),
    'too small': ('memory_mb = 1', "'memory_mb': expected 32 to 1024"),
    'levels': ('levels = 3', "'levels': expected 4 or 5"),
    'no pid': ('[[task]]\nname = "x"', "a task needs a 'pid' above 0"),
    'pid range': ('[[task]]\npid = 99999999999', "'pid': expected a whole number from"),
    'no parent': (
        '[[task]]\npid = 1\n[[task]]\npid = 5\nparent = 4',
        'task 5 has parent 4, which does not exist',
    ),
    'twice': ('[[task]]\npid = 1\n[[task]]\npid = 1', 'task 1 exists already'),
    'socket': ('[[task]]\npid = 1\nsockets = [{local = "nonsense"}]', "socket address 'nonsense'"),
    'change': ('[[change]]\nat = 1', 'a change needs one of'),
    'event': ('[[event]]\nkind = "x"', "'kind': expected syscall, cr3, int, mem, request or credentials"),
    'time': ('[[change]]\nat = -1\nexit = 1', "'at': expected seconds, 0 or more"),
    'too often': (
        '[[change]]\nevery = 0.0000001\ncount = 9\nexit = 1',
        "'count' needs 'every', 0.0001 seconds or more",
    ),
    'deep path': (
        '[[task]]\npid = 1\nfiles = ["' + '/a' * 9000 + '"]',
        'a path of 18000 characters, at most 4095',
    ),
    'banner': ('banner = "' + 'x' * 600 + '"', "'banner': expected at most 500 characters"),
    'hostile': ('hostile = ["x"]', "'hostile': no 'x'"),
    'too much': ('[[symbol]]\nname = "a"\ntext = "' + 'x' * 900_000 + '"', 'its symbols take more than'),
}


@pytest.mark.parametrize('name', BAD)
def test_bad_descriptions_are_refused_with_the_line(work, name):
    text, expected = BAD[name]
    path = work / 'guest.toml'
    path.write_text(text)
    result = furnace('ps', path, check=False)
    assert result.returncode == 1 and expected in result.stderr, result.stderr


def test_processes_users_modules_requests_and_returns_are_events_of_the_simulator_too(described_cloud):
    """The same registrations as on a live guest; changes of the description are what happens."""
    cloud = described_cloud(
        '''
[[task]]
pid = 300
uid = 1000
name = "worker"
[[change]]
at = 2.0
start = {pid = 400, parent = 300, uid = 33, name = "child", executable = "/bin/child"}
[[change]]
at = 2.1
load = {name = "rootkit"}
[[change]]
at = 2.2
exit = 400
[[event]]
at = 2.3
kind = "credentials"
pid = 300
value = 0
[[event]]
at = 2.35
kind = "request"
pid = 300
[[event]]
at = 2.4
kind = "syscall"
pid = 300
number = 39
returns = true
result = 300
'''
    )
    cloud.start_vmi()
    app = cloud.start_app(
        '''
import fe, json
class App:
    def __init__(self, ctx):
        for kind in (fe.PROCESS_CREATED, fe.PROCESS_EXECUTED, fe.PROCESS_EXITED, fe.CREDENTIALS, fe.MODULE_LOADED, fe.GUEST_REQUEST):
            fe.event_register({'event_type': kind, 'sync': fe.SYNC, 'callback': self.tell})
        fe.event_register({'event_type': fe.SYSCALL, 'number': 'getpid', 'returns': True, 'callback': self.tell})
        fe.events_start()
        self.told = []
    def tell(self, e):
        self.told.append([type(e).__name__, e.pid, e._asdict()])
        if getattr(e, 'is_return', False):
            print(json.dumps(self.told))
            fe.shutdown()
'''
    )
    assert app.wait_end(20) == 0, app.log
    created, executed, module, ended, user, request, entry, returned = json.loads(app.out)
    assert (
        created[:2] == ['ProcessEvent', 300]
        and created[2]['subject_pid'] == 400
        and created[2]['subject_name'] == 'child'
    )
    assert executed[:2] == ['ProcessEvent', 400] and executed[2]['path'] == '/bin/child'
    assert module[2]['module'] == 'rootkit'
    assert ended[:2] == ['ProcessEvent', 400] and ended[2]['exit_status'] == 0
    assert (user[1], user[2]['old_uid'], user[2]['new_uid'], user[2]['uid']) == (300, 1000, 0, 0)
    assert request[:2] == ['VmEvent', 300]
    assert (entry[2]['name'], entry[2]['is_return']) == ('getpid', False)
    assert (returned[2]['name'], returned[2]['return_value']) == ('getpid', 300)


def test_an_empty_process_list_is_an_error_that_says_what_it_may_mean(described_cloud):
    cloud = described_cloud('[[task]]\npid = 1\nname = "init"\nhidden = true\n')
    cloud.start_vmi()
    old, new = run_app(
        cloud,
        """
show(fe.process_list())
try:
    show(fe.checked.process_list())
except fe.VmiError as error:
    show(str(error))
""",
    )
    assert old == {}  # as in 1.0
    assert 'holds no process: the guest is still booting' in new
