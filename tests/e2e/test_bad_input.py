"""What goes wrong in a user's hands: each has an error that names the cause and the way out, and an exit
code.
"""

import os
import re
import signal
import socket
import subprocess
import time

import pytest

from furnace_testing import FURNACE, Cloud, Process, eventually, furnace, run_app

IDLE_APP = 'import fe\nclass App:\n    def __init__(self, ctx): print("up")\n'


def fails(*arguments, code=1):
    result = furnace(*arguments, check=False)
    assert result.returncode == code, (result.returncode, result.stdout, result.stderr)
    return result.stdout + result.stderr


def test_no_such_vm(shared_guest):
    assert re.search(
        rf'no running QEMU with -name nothing \(running: .*\b{shared_guest.name}\b', fails('ps', 'nothing')
    )
    assert 'no running QEMU' in fails('vmi', 'nothing', '--vmi', '/tmp')
    assert 'no running QEMU' in fails('vm', 'stop', 'nothing')
    assert 'is it running?' in fails('vm', 'console', 'nothing')


def test_wrong_usage_is_exit_code_2():
    for arguments in (
        (),
        ('nonsense',),
        ('ps',),
        ('vm', 'start'),
        ('vm', 'start', 'x', '--cpus', 'many'),
        ('fac',),
        ('vmi',),
    ):
        fails(*arguments, code=2)
    assert furnace('--help').returncode == 0


def fake_qemu(work, name, *arguments):
    """A process that looks like a QEMU of that name in the process list."""
    script = work / 'qemu-system-x86_64'
    script.symlink_to('/usr/bin/python3')
    return subprocess.Popen([script, '-c', 'import time; time.sleep(60)', '-name', name, *arguments])


def test_a_qmp_socket_that_is_missing_or_libvirts_is_named(work):
    cases = {
        'no-socket': ([], 'has no QMP socket; start it with -qmp unix:PATH'),
        'gone-socket': (['-qmp', f'unix:{work}/gone,server=on'], 'No such file or directory'),
        'virt-socket': (
            ['-chardev', 'socket,id=charmonitor,fd=3,server=on', '-mon', 'chardev=charmonitor,mode=control'],
            "libvirt's own QMP socket",
        ),
    }
    for name, (arguments, message) in cases.items():
        process = fake_qemu(work, name, *arguments)
        try:
            eventually(
                lambda: 'no running QEMU' not in furnace('ps', name, check=False).stderr,
                5,
                'the process list',
            )
            assert message in fails('ps', name)
        finally:
            process.kill()
            process.wait()
            (work / 'qemu-system-x86_64').unlink()


@pytest.mark.skipif(os.geteuid() != 0, reason='only root can become another user')
def test_qmp_socket_not_permitted(own_guest):
    result = subprocess.run(
        [FURNACE, 'ps', own_guest.name], capture_output=True, text=True, user='nobody', cwd='/'
    )
    assert result.returncode == 1
    assert 'Permission denied' in result.stderr and 'as root' in result.stderr


def test_a_profile_that_is_cut_short_is_refused_and_an_empty_one_means_find_it(work, shared_guest):
    profile = work / 'rekall.json'
    profile.write_text('{"$CONSTANTS": {}}')
    assert "'$STRUCTS'" in fails('vmi', shared_guest.name, '--vmi', work, '--profile', profile)
    assert 'No such file' in fails('vmi', shared_guest.name, '--vmi', work, '--profile', work / 'nothing')
    profile.write_text('')
    vmi = Process(work, 'vmi', 'vmi', shared_guest.name, '--vmi', work, '--profile', profile)
    vmi.wait_log('kernel: Linux version')
    vmi.stop()


def test_busy_qmp_socket(own_guest):
    """Both sockets have a client: QEMU greets nobody else."""
    clients = []
    for name in ('qmp', 'qmp2'):
        client = socket.socket(socket.AF_UNIX)
        client.connect(str(own_guest.directory / name))
        client.recv(1000)
        clients.append(client)
    assert 'serves one client at a time' in fails('ps', own_guest.name)
    for client in clients:
        client.close()


def test_vm_without_a_linux_kernel(work):
    """Firmware alone: the VMI partition serves, and says what is missing."""
    qemu = subprocess.Popen(
        [
            'qemu-system-x86_64',
            '-name',
            'firmware-only',
            '-machine',
            'q35,accel=tcg',
            '-m',
            '64',
            '-display',
            'none',
            '-nodefaults',
            '-qmp',
            f'unix:{work}/qmp,server=on,wait=off',
            '-qmp',
            f'unix:{work}/qmp2,server=on,wait=off',
        ]
    )
    try:
        eventually(lambda: (work / 'qmp2').exists(), 10, 'QEMU')
        assert 'not in 64-bit mode' in fails('ps', 'firmware-only')
        cloud = Cloud(work, 'firmware-only')
        cloud.start_vmi().wait_log('no kernel yet')
        error, memory = run_app(
            cloud,
            '''
try:
    fe.checked.process_list()
except fe.VmiError as e:
    show(str(e))
show(len(fe.read_pa(0, 4096)))
''',
        )
        assert 'not in 64-bit mode' in error and memory == 4096
        cloud.stop()
    finally:
        qemu.kill()
        qemu.wait()


@pytest.mark.parametrize(
    'needle,message',
    [
        (b'0\x001\x002\x003\x004\x005\x006\x007\x008\x009\x00', 'no symbol table in memory'),
        (b'\x9f\xeb\x01\x00\x18\x00\x00\x00', 'BTF'),
    ],
)
def test_vm_without_kallsyms_or_btf(own_guest, needle, message, work):
    """The tables are wiped from the guest's RAM, as if the kernel had none."""
    import mmap

    with open(own_guest.directory / 'ram', 'r+b') as file, mmap.mmap(file.fileno(), 0) as ram:
        at = ram.find(needle)
        while at != -1:
            ram[at : at + len(needle)] = bytes(len(needle))
            at = ram.find(needle, at + 1)
    result = subprocess.run(
        [FURNACE, 'ps', own_guest.name],
        capture_output=True,
        text=True,
        env={**os.environ, 'FURNACE_CACHE': str(work)},
    )
    assert result.returncode == 1 and message in result.stderr, result.stderr


def test_a_kernel_that_only_calls_itself_as_a_cached_one_does_not_get_its_profile(own_guest, work):
    """A guest can forge its kernel's banner, tables and types: nobody else's view may come from them, nor its
    from theirs.
    """
    import mmap

    environment = {**os.environ, 'FURNACE_CACHE': str(work)}

    def ps():
        return subprocess.run(
            [FURNACE, 'ps', own_guest.name], capture_output=True, text=True, env=environment
        )

    assert ps().returncode == 0
    assert 'is another' not in ps().stderr
    with open(own_guest.directory / 'ram', 'r+b') as file, mmap.mmap(file.fileno(), 0) as ram:
        name = b'\0oom_score_adj_min\0'
        at = ram.find(name)
        while at != -1:
            ram[at : at + len(name)] = b'\0oom_score_adj_xxx\0'
            at = ram.find(name, at + 1)
    forged = ps()
    assert 'is another' in forged.stderr and forged.returncode == 0 and 'web-server' in forged.stdout


def test_not_x86(work):
    if not os.path.exists('/usr/bin/qemu-system-aarch64'):
        script = work / 'qemu-system-aarch64'
        server = work / 'qmp'
        script.write_text(
            f'''#!/usr/bin/python3
import json, os, socket
s = socket.socket(socket.AF_UNIX); s.bind({str(server)!r}); s.listen()
while True:
    c, _ = s.accept(); f = c.makefile('rw')
    f.write(json.dumps({{'QMP': {{}}}}) + '\\n'); f.flush()
    for line in f:
        q = json.loads(line); a = q.get('arguments', {{}}).get('command-line', '')
        r = {{}}
        if a.startswith('info mtree'): r = 'FlatView #0\\n Root memory region: system\\n  0000000000000000-000000000000ffff (prio 0, ram): mach-virt.ram\\n'
        if a.startswith('gpa2hva'): r = 'Host virtual address for 0x0 (ram) is 0x400000'
        if a == 'info registers': r = 'PC=ffff800008000000 X00=0000000000000000 X01=0\\n'
        if q['execute'] == 'query-status': r = {{'running': True}}
        f.write(json.dumps({{'return': r}}) + '\\n'); f.flush()
'''
        )
        process = subprocess.Popen(
            ['qemu-system-aarch64', script, '-name', 'arm', '-qmp', f'unix:{server},server=on'],
            executable='/usr/bin/python3',
        )
    else:
        pytest.skip('a real aarch64 emulator is here; the stand-in is not needed')
    try:
        eventually(server.exists, 5, 'stand-in')
        assert 'not an x86 machine' in fails('ps', 'arm')
    finally:
        process.kill()
        process.wait()


def test_guest_powers_off_under_us(work, own_guest):
    cloud = Cloud(work, own_guest.name)
    vmi = cloud.start_vmi()
    own_guest.qmp('system_reset')
    eventually(lambda: 'was reset' in vmi.log, 10, 'notice of the reset')
    own_guest.qmp('quit')
    assert vmi.wait_end() == 1
    assert f"VM '{own_guest.name}' has exited" in vmi.log
    cloud.stop()


def test_guest_reboots_under_us(work, own_guest):
    """The kernel is found anew, at its new KASLR place, by the same VMI partition and app."""
    cloud = Cloud(work, own_guest.name)
    vmi = cloud.start_vmi()
    app = cloud.start_app(
        '''
import fe
class App:
    def __init__(self, ctx):
        self.tick('')
        fe.event_register({'event_type': fe.TIMER, 'time_value': 0.2, 'callback': self.tick})
    def tick(self, ctx):
        try:
            names = {p['name'] for p in fe.checked.process_list().values()}
            print(hex(fe.checked.lookup_symbol('init_task')), 'web-server' in names)
        except fe.VmiError as e:
            print('error', e)
'''
    )
    app.wait_out('True')
    log = own_guest.directory / 'console.log'
    boots = log.read_text().count('furnace guest ready')
    own_guest.qmp('system_reset')
    vmi.wait_log('was reset')
    eventually(lambda: log.read_text().count('furnace guest ready') > boots, 60, 'second boot')
    mark = len(app.out)
    eventually(lambda: 'True' in app.out[mark:], 15, 'a process list after the reboot')
    assert app.process.poll() is None and 'error' in app.out
    cloud.stop()


def test_a_paused_guest_resumes_when_the_app_is_killed(cloud, shared_guest):
    cloud.start_vmi()
    app = cloud.start_app('import fe\nclass App:\n    def __init__(self, ctx): print(fe.pause_vm())\n')
    app.wait_out('0')
    assert not shared_guest.running()
    app.stop(signal.SIGKILL)
    eventually(shared_guest.running, 2, 'the guest runs again')


def test_a_paused_guest_resumes_when_the_vmi_partition_is_killed(cloud, shared_guest):
    vmi = cloud.start_vmi(start_new_session=True)
    app = cloud.start_app('import fe\nclass App:\n    def __init__(self, ctx): print(fe.pause_vm())\n')
    app.wait_out('0')
    assert not shared_guest.running()
    os.killpg(vmi.pid, signal.SIGKILL)
    eventually(shared_guest.running, 2, 'the guest runs again')


def test_a_guest_paused_by_its_operator_stays_paused(cloud, shared_guest):
    shared_guest.qmp('stop')
    try:
        vmi = cloud.start_vmi()
        assert run_app(cloud, 'show([fe.pause_vm(), fe.resume_vm(), len(fe.process_list()) > 30])') == [
            [0, 0, True]
        ]
        vmi.stop()
        time.sleep(0.3)
        assert not shared_guest.running()
    finally:
        shared_guest.qmp('cont')


def test_two_vmi_partitions_on_one_socket(sim_cloud):
    first = sim_cloud.start_vmi()
    second = sim_cloud.start('vmi', 'other', '--driver', 'simulator', '--vmi', sim_cloud.vmi_dir)
    assert second.wait_end() == 1 and 'another VMI partition serves there' in second.log
    assert first.process.poll() is None
    first.stop(signal.SIGKILL)
    sim_cloud.start_vmi()


def test_port_in_use(sim_cloud):
    with socket.socket() as taken:
        taken.bind(('127.0.0.1', sim_cloud.outside))
        taken.listen()
        backend = sim_cloud.start_backend(
            'import be\nclass AppBE:\n    def __init__(self, ctx): be.event_register({"event_type": be.FE,'
            ' "callback": print})\n'
        )
        assert (
            backend.wait_end() == 1
            and f'tcp://127.0.0.1:{sim_cloud.outside}: cannot listen: Address already in use' in backend.log
        )


def test_keys_that_are_missing_open_to_others_or_damaged(sim_cloud):
    key = sim_cloud.keys / 'app.key'
    key.chmod(0o644)
    assert f'chmod 600 {key}' in fails(
        'fac', '--u2', 'a', '--kp', sim_cloud.keys, '--ip', '127.0.0.1', '--fac', sim_cloud.fac_dir
    )
    key.chmod(0o600)
    (sim_cloud.keys / 'be.pub').write_text('curve\n    public-key = "short"\n')
    assert 'be.pub:2: public-key is not a Z85 key' in fails(
        'fac', '--u2', 'a', '--kp', sim_cloud.keys, '--ip', '127.0.0.1', '--fac', sim_cloud.fac_dir
    )
    assert 'exists already' in fails('keys', 'new', sim_cloud.keys)
    key.unlink()
    assert 'app.key: No such file' in fails(
        'fac', '--u2', 'a', '--kp', sim_cloud.keys, '--ip', '127.0.0.1', '--fac', sim_cloud.fac_dir
    )


def test_app_file_missing_unreadable_or_without_its_class(sim_cloud, work):
    app = sim_cloud.start_app(work / 'nothing')
    assert app.wait_end() == 1 and 'nothing.py' in app.log and 'without .py' in app.log
    app = sim_cloud.start_app('class Other: pass')
    assert app.wait_end() == 4 and "no class 'App'" in app.log
    app = sim_cloud.start_app('class App(:')
    assert app.wait_end() == 4 and 'SyntaxError' in app.log


def test_app_that_raises_in_its_constructor(sim_cloud):
    app = sim_cloud.start_app(
        'class App:\n    def __init__(self, ctx):\n        raise RuntimeError("no way")\n'
    )
    assert app.wait_end() == 4
    assert 'Traceback' in app.log and 'RuntimeError: no way' in app.log


def test_an_app_that_raises_in_a_callback_continues(sim_cloud):
    sim_cloud.start_vmi()
    app = sim_cloud.start_app(
        '''
import fe
class App:
    def __init__(self, ctx):
        self.count = 0
        fe.event_register({'event_type': fe.TIMER, 'time_value': 0.05, 'callback': self.tick})
    def tick(self, ctx):
        self.count += 1
        print(self.count)
        raise RuntimeError('tick ' + str(self.count))
'''
    )
    app.wait_out('3')
    app.wait_log('RuntimeError: tick 1')
    assert app.process.poll() is None
    assert app.stop() == 0


def test_signals_end_an_app_in_order_wherever_it_is(sim_cloud):
    sim_cloud.start_vmi()
    idle = sim_cloud.start_app(IDLE_APP)
    idle.wait_log('runs')
    assert idle.stop() == 0
    busy = sim_cloud.start_app(
        'class App:\n    def __init__(self, ctx):\n        print("up")\n        while True: pass\n'
    )
    busy.wait_out('up')
    assert busy.stop() == 0


def test_bad_arguments_name_the_call(sim_cloud):
    sim_cloud.start_vmi()
    (errors,) = run_app(
        sim_cloud,
        '''
errors = []
for call in (lambda: fe.read_va(1, 2), lambda: fe.read_64_va('x', 0), lambda: fe.read_64_va(1, 2, 3), lambda: fe.read_64_va(1.5, 0),
             lambda: fe.event_clear(5), lambda: fe.event_register({'event_type': fe.TIMER, 'callback': print}),
             lambda: fe.event_register({'event_type': fe.TIMER, 'time_value': 1, 'callback': 5})):
    try:
        errors.append(str(call()))
    except Exception as e:
        errors.append(type(e).__name__ + ': ' + str(e))
show(errors)
''',
    )
    assert errors[0] == 'TypeError: read_va(): count is missing: takes (vaddr, pid, count)'
    assert 'Invalid' in errors[1] and 'read_64_va' in errors[1]
    assert 'TypeError: read_64_va(): takes (vaddr, pid)' == errors[2]
    assert errors[3].startswith('TypeError: read_64_va()')
    assert errors[4] == 'ValueError: event_clear: no event with id 5'
    assert "'time_value'" in errors[5] and "'callback' is 5" in errors[6]


def test_no_vmi_partition_is_an_error_that_names_the_socket(sim_cloud):
    app = sim_cloud.start_app(
        'import fe\nclass App:\n    def __init__(self, ctx):\n        fe.process_list()\n'
    )
    assert app.wait_end(40) == 3
    assert f'no VMI partition serves at {sim_cloud.vmi_dir} yet' in app.log
    assert (
        'process_list(): /opt/furnace/vmi_socket/vmi_rtr: there has been no VMI partition for 30 s; start one'
        ' there' in app.log
    )


def test_logs_can_be_json_lines(sim_cloud):
    import json

    vmi = Process(
        sim_cloud.work,
        'json',
        'vmi',
        'x',
        '--driver',
        'simulator',
        '--vmi',
        sim_cloud.vmi_dir,
        '--log-format',
        'json',
    )
    vmi.wait_log('serving VM')
    vmi.stop()
    for line in vmi.log.splitlines():
        entry = json.loads(line)
        assert entry['program'] == 'furnace-vmi' and entry['level'] and entry['time'] and entry['message']


MISTAKES = [  # a registration, and what its error says
    ("{'event_type': fe.SYSCALL, 'nuber': 'openat'}", "unknown key 'nuber' (did you mean 'number'?)"),
    ("{'event_type': fe.INT, 'addr': 5}", "unknown key 'addr'"),
    ("{'event_type': fe.INT}", "'bp_addr' is missing"),
    ("{'event_type': fe.INT, 'bp_addr': '5'}", "'bp_addr' is '5', not a number"),
    ("{'event_type': fe.MEM, 'bp_addr': 5}", "unknown key 'bp_addr'"),
    ("{'event_type': fe.MEM, 'addr': 5, 'gpa': 5}", "'gpa' goes without 'addr'"),
    ("{'event_type': fe.MEM, 'addr': 5, 'access': 7}", "'access' is 7"),
    ("{'event_type': fe.REG, 'number': 5}", "unknown key 'number'"),
    ("{'event_type': fe.PROCESS_CREATED, 'returns': True}", "unknown key 'returns'"),
    ("{'event_type': fe.SYSCALL, 'returns': 'yes'}", "'returns' is 'yes'"),
    ("{'event_type': fe.SYSCALL, 'pid': True}", "'pid' is True, not a number"),
    ("{'event_type': fe.SYSCALL, 'on_end': 5}", "'on_end' is 5"),
    ("{'event_type': fe.TIMER, 'time': 1.0}", "unknown key 'time' (did you mean 'time_value'?)"),
    ("{'event_type': fe.TIMER, 'time_value': '1'}", "'time_value' is '1'"),
    ("{'event_type': fe.BE, 'pid': 5}", "unknown key 'pid'"),
    ("{'type': fe.TIMER}", "'event_type' is None"),
]


def test_a_key_that_is_misspelt_or_of_another_kind_is_named_and_nothing_registered(sim_cloud):
    sim_cloud.start_vmi()
    (said,) = run_app(
        sim_cloud,
        f"""
said = []
for text in {[text for text, _ in MISTAKES]!r}:
    try:
        fe.event_register(dict(eval(text), callback=print))
        said.append('registered')
    except (ValueError, TypeError) as error:
        said.append(str(error))
show(said)
""",
    )
    for (text, expected), error in zip(MISTAKES, said, strict=True):
        assert error.startswith('event_register: ') and expected in error, (text, error)


BAD_BATCHES = [  # what is wrong with call 1 of a batch, and what its error says
    (
        "{'type': 'READ_64_VA', 'args': {'vaddr': 1, 'pid': 0}, 'lable': 'a'}",
        "unknown key 'lable' (did you mean 'label'?); a call takes",
    ),
    ("{'label': 'a'}", "'type' is missing"),
    ("{'type': 5}", "'type' is 5"),
    ("{'type': 'READ_65_VA'}", "no call 'READ_65_VA'"),
    ("{'type': 'READ_64_VA', 'args': [1, 0]}", "(READ_64_VA): 'args' is [1, 0]: expected a dict"),
    ("{'type': 'READ_64_VA', 'args': {5: 1}}", "'args' has the key 5"),
    (
        "{'type': 'READ_64_VA', 'args': {'addr': 1}}",
        "read_64_va: its request has no field 'addr', but vaddr, pid",
    ),
    (
        "{'type': 'READ_64_VA', 'args': {'vaddr': 1.5}}",
        "read_64_va(): 'vaddr' is 1.5: expected int, str or bytes, got float",
    ),
    ("{'type': 'READ_64_VA', 'args': {'vaddr': 1 << 70}}", "expected an int of at most 64 bits"),
    (
        "{'type': 'READ_64_VA', 'args': {'vaddr': 1, 'pid': 1 << 32}}",
        "argument 'pid' is 4294967296, which doesn't fit in 32 bits",
    ),
    ("{'type': 'READ_64_VA', 'args': {'vaddr': 'x'}}", "argument 'vaddr' is a number, not text"),
    (
        "{'type': 'READ_64_VA', 'link': (0, 1)}",
        "its link is (0, 1): expected None or (index of an earlier call",
    ),
    ("{'type': 'READ_64_VA', 'link': (0, 1, 0, 'ADD')}", "its link is (0, 1, 0, 'ADD')"),
    ("{'type': 'READ_64_VA', 'link': (0, 1, 0, 9)}", "link operator 9"),
    ("{'type': 'READ_64_VA', 'label': []}", "'label' is []"),
    ("['READ_64_VA']", "['READ_64_VA'] is no dict"),
]
BAD_CALLS = [  # a call of the API, and what its error says
    (
        "fe.read_va(adr=1, pid=0, count=4)",
        "TypeError: read_va(): unknown argument 'adr': takes (vaddr, pid, count)",
    ),
    ("fe.read_va(1, 0, vaddr=4)", "TypeError: read_va(): 'vaddr' is given twice"),
    ("fe.read_va(1, 0, 4, 5)", "TypeError: read_va(): takes (vaddr, pid, count)"),
    (
        "fe.read_va(1, None, 4)",
        "TypeError: read_va(): 'pid' is None: expected int, str or bytes, got NoneType",
    ),
    ("fe.checked.read_va(1, 0, 1 << 32)", "argument 'count' is 4294967296, which doesn't fit in 32 bits"),
    ("fe.notify('x', durabel=True)", "TypeError: notify(): incompatible function arguments"),
    ("fe.io_set('key', 5)", "TypeError: io_set(): incompatible function arguments"),
    ("fe.request(5)", "TypeError: request(): incompatible function arguments"),
    ("fe.log(5)", "TypeError: log(): incompatible function arguments"),
    ("fe.event_clear('x')", "TypeError: event_clear: 'x' is no event's id"),
    ("fe.start_syscall(print, sync=7)", "ValueError: start_syscall: 'sync' is 7: expected SYNC or ASYNC"),
    ("fe.read_many([(1, 4), 5])", "TypeError: read_many: range 1 is 5: expected a pair"),
    (
        "fe.batch_new().add('a', 'READ_64_VA', linkfield='value')",
        "ValueError: batch: call 0: 'linkname' is missing",
    ),
    (
        "fe.batch_new().add('a', 'READ_64_VA', arg={})",
        "TypeError: Batch.add() got an unexpected keyword argument 'arg'",
    ),
]


def test_what_is_wrong_with_a_call_of_a_batch_is_named_with_its_index(sim_cloud):
    sim_cloud.start_vmi()
    (said,) = run_app(
        sim_cloud,
        f"""
good = {{'type': 'READ_64_VA', 'args': {{'vaddr': fe.lookup_symbol('init_task'), 'pid': 0}}}}
said = []
for text in {[text for text, _ in BAD_BATCHES]!r}:
    try:
        said.append(str(fe.batch([good, eval(text)])))
    except Exception as error:
        said.append(str(error))
show(said)
""",
    )
    for (text, expected), error in zip(BAD_BATCHES, said, strict=True):
        assert error.startswith('batch: call 1') and expected in error, (text, error)


def test_unknown_and_ill_typed_arguments_are_named(sim_cloud):
    sim_cloud.start_vmi()
    (said,) = run_app(
        sim_cloud,
        f"""
said = []
for text in {[text for text, _ in BAD_CALLS]!r}:
    try:
        said.append(str(eval(text)))
    except Exception as error:
        said.append(type(error).__name__ + ': ' + str(error))
show(said)
""",
    )
    for (text, expected), error in zip(BAD_CALLS, said, strict=True):
        assert expected in error, (text, error)


def test_an_error_that_a_callback_raises_again_and_again_is_logged_once_and_counted(sim_cloud):
    sim_cloud.start_vmi()
    app = sim_cloud.start_app(
        """
import fe
class App:
    def __init__(self, ctx):
        self.calls = 0
        fe.event_register({'event_type': fe.TIMER, 'time_value': 0.0, 'callback': self.fail})
    def fail(self, _):
        self.calls += 1
        if self.calls > 120: fe.exit()
        raise ValueError(f'wrong in call {self.calls}')
"""
    )
    assert app.wait_end() == 0
    assert app.log.count('Traceback') == 1 and 'wrong in call 1' in app.log
    assert re.findall(r'raised ValueError at the same place again: (\d+) times so far', app.log) == [
        '10',
        '100',
    ]


@pytest.mark.parametrize(
    'arguments',
    [['ps', 'FILE'], ['profile', 'show', 'FILE'], ['run', '--manifest', 'FILE', '--check', 'app']],
    ids=lambda each: ' '.join(each),
)
def test_a_fifo_in_place_of_a_file_is_refused_and_not_waited_for(work, arguments):
    os.mkfifo(work / 'fifo')
    result = furnace(
        *[str(work / 'fifo') if each == 'FILE' else each for each in arguments], check=False, timeout=30
    )
    assert result.returncode != 0 and 'fifo' in result.stderr, result.stderr
