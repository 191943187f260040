"""`furnace run`: all partitions of an app from one manifest, started in order and kept running; `furnace
top`; `furnace setup`.
"""

import os
import re
import signal
import subprocess
from pathlib import Path

import pytest

from furnace_testing import FURNACE, Process, eventually, free_port, furnace, partition_of

APP = '33333333-3333-3333-3333-333333333333-app'

CODE = '''
import fe
class App:
    def __init__(self, ctx):
        try:
            count = int(fe.io_get('starts')) + 1
        except RuntimeError:
            count = 1
        fe.io_set('starts', str(count))
        print('start', count, ctx['metadata'], len(fe.process_list()), fe.request('who'), flush=True)
        fe.event_register({'event_type': fe.TIMER, 'time_value': 0.1, 'callback': self.look})
    def look(self, _):
        word = fe.request('what now')
        if word == 'crash':
            import ctypes
            ctypes.string_at(0)
        if word == 'attack':
            import socket
            socket.socket(socket.AF_INET)
        if word == 'end':
            fe.exit()
'''

BACKEND = '''
import be, os
class AppBE:
    def __init__(self, ctx):
        be.event_register({'event_type': be.FE, 'callback': self.answer})
    def answer(self, ctx):
        if ctx.message == 'who':
            return 'the backend'
        try:
            word = open(r'%s').read()
            os.unlink(r'%s')
            return word
        except FileNotFoundError:
            return 'go on'
'''


class Tenant:
    """A tenant's directory with its manifest, its backend, and `furnace run` on it."""

    def __init__(self, work, manifest=''):
        self.work, self.data = work, work / 'tenant_data' / APP
        self.data.mkdir(parents=True)
        self.word = work / 'word'
        furnace('keys', 'new', self.data)
        (self.data / 'app.py').write_text(CODE)
        inside, outside = free_port(), free_port()
        (self.data / 'furnace.toml').write_text(
            manifest
            or f'''
metadata = "of the manifest"
[vm]
name = "sim"
driver = "simulator"
forbid = ["write"]
[home]
proxy = "127.0.0.1:{inside}"
backend = "127.0.0.1:{outside}"
[limits.app]
memory_mb = 100
'''
        )
        (work / 'backend.py').write_text(BACKEND % (self.word, self.word))
        self.backend = Process(
            work,
            'backend',
            'backend',
            '-c',
            work / 'backend',
            '-m',
            'AppBE',
            '--ep',
            '127.0.0.1',
            '--et',
            outside,
            '--ak',
            self.data / 'app.key',
            '--bk',
            self.data / 'be.key',
        )
        self.run = None

    def start(self):
        self.run = Process(self.work, 'run', 'run', APP, '--manifest', self.data / 'furnace.toml')
        return self.run

    def say(self, word):
        temporary = self.word.with_suffix('.new')
        temporary.write_text(word)
        temporary.rename(self.word)

    def launcher(self, kind):
        """The process of `furnace KIND` that is running."""

        def find():
            for child in Path(f'/proc/{self.run.pid}/task/{self.run.pid}/children').read_text().split():
                if Path(f'/proc/{child}/cmdline').read_bytes().split(b'\0')[1] == kind.encode():
                    return int(child)

        return eventually(find, 10, f'launcher of {kind}')

    def reports(self):
        return sorted((self.data / 'crashes').glob('*.txt')) if (self.data / 'crashes').exists() else []

    def stop(self):
        for process in (self.run, self.backend):
            if process:
                process.stop(signal.SIGKILL)


@pytest.fixture
def tenant(work):
    """A tenant's manifest, code and keys, and what runs beside them."""
    made = Tenant(work)
    yield made
    made.stop()


def test_all_partitions_run_until_the_app_ends(tenant):
    run = tenant.start()
    run.wait_out('start 1 of the manifest 8 the backend', 20)
    top = furnace('top', '--once').stdout
    for kind in ('app', 'fac'):
        line = re.search(rf'^{kind} {APP[:20]}.*$', top, re.M)
        assert line, top
        assert re.search(r'\d+\.\d of \d+ +\d+ +[1-9]\d* +0$', line[0]), line[0]
    assert re.search(r'of 100 ', re.search(rf'^app {APP[:20]}.*$', top, re.M)[0])
    assert re.search(r'^vmi sim ', top, re.M)
    tenant.say('end')
    assert run.wait_end(20) == 0
    assert not tenant.reports()
    order = [re.search(rf'{kind} is ready', run.log).start() for kind in ('vmi', 'fac', 'app')]
    assert order == sorted(order)
    assert APP[:20] not in furnace('top', '--once').stdout


@pytest.mark.parametrize(
    'word, end', [('crash', 'signal 11'), ('attack', "a system call that its policy doesn't allow")]
)
def test_an_app_that_crashes_runs_again_and_leaves_a_report(tenant, word, end):
    run = tenant.start()
    run.wait_out('start 1', 20)
    tenant.say(word)
    run.wait_out('start 2', 20)
    file = eventually(tenant.reports)[0]
    assert (file.stat().st_mode & 0o777, file.parent.stat().st_mode & 0o777) == (
        0o600,
        0o700,
    ), 'it holds metadata'
    report = file.read_text()
    assert f'by:        {end}' in report and 'partition: app' in report and f'--u2 {APP}' in report
    if word == 'attack':
        assert 'violation' in report and 'socket(domain=AF_INET' in report or 'socket(domain=2' in report
    tenant.say('end')
    assert run.wait_end(20) == 0


def test_an_app_whose_vmi_partition_was_lost_is_started_again(tenant):
    run = tenant.start()
    run.wait_out('start 1', 20)
    os.kill(tenant.launcher('vmi'), signal.SIGKILL)
    run.wait_out('start 2', 20)
    assert [report.name.split('-')[-1] for report in tenant.reports()] == ['vmi.txt']
    os.kill(partition_of(tenant.launcher('fac')), signal.SIGKILL)
    eventually(lambda: len(tenant.reports()) == 2)
    eventually(lambda: run.log.count('fac is ready') == 2)
    tenant.say('end')
    assert run.wait_end(20) == 0
    assert 'start 3' not in run.out


def test_sigterm_ends_all_in_order_and_kill_leaves_nothing(tenant):
    for how in (signal.SIGTERM, signal.SIGKILL):
        run = tenant.start()
        run.wait_out('start', 20)
        inner = [partition_of(tenant.launcher(kind)) for kind in ('vmi', 'fac', 'app')]
        run.process.send_signal(how)
        assert run.wait_end(20) == (0 if how == signal.SIGTERM else -9)
        eventually(lambda: not any(Path(f'/proc/{pid}').exists() for pid in inner))
    eventually(lambda: 'sim' not in furnace('top', '--once').stdout)


def test_what_the_operator_forbids_is_refused_with_the_reason(tenant):
    (tenant.data / 'app.py').write_text(
        '''
import fe
class App:
    def __init__(self, ctx):
        for call in (lambda: fe.checked.write_8_pa(0, 1), lambda: fe.checked.read_8_pa(0)):
            try:
                call()
                print('done')
            except fe.VmiError as error:
                print(error)
        fe.exit()
'''
    )
    run = tenant.start()
    assert run.wait_end(20) == 0
    assert 'the operator forbids this app writing to its VM' in run.out and run.out.endswith(
        'done\n'
    ), run.out


@pytest.mark.parametrize(
    'text, error',
    [
        ('', r"furnace.toml:1: it needs a table \[vm\]"),
        ('[vm]\n', r"furnace.toml:1: a VM needs its 'name'"),
        ('[vm]\nname = "x"\nforbid = ["fly"]', r"'forbid': 'fly' is none of write, pause, events"),
        (
            '[vm]\nname = "x"\n[home]\nproxy = "1.2.3.4"',
            r"furnace.toml:3: 'proxy' is '1.2.3.4': expected \"IP:PORT\"",
        ),
        (
            'restart = "perhaps"\n[vm]\nname = "x"',
            "'restart' is 'perhaps': expected one of on-failure, always, never",
        ),
        ('metdata = "x"\n[vm]\nname = "x"', "furnace.toml:1: unknown key 'metdata'"),
        (
            '[vm]\nname = "x"\n[limits.app]\nmemory_mb = 0',
            "'memory_mb' is 0: expected a whole number, 1 to 16777216 MB",
        ),
        ('[vm', 'furnace.toml:1: '),
    ],
)
def test_a_wrong_manifest_is_reported_with_its_line(work, text, error):
    (work / 'furnace.toml').write_text(text)
    refused = furnace('run', 'my-app', '--manifest', work / 'furnace.toml', '--check', check=False)
    assert refused.returncode == 1 and re.search(error, refused.stderr), refused.stderr


def test_check_prints_the_commands(tenant):
    shown = furnace('run', APP, '--manifest', tenant.data / 'furnace.toml', '--check').stdout.splitlines()
    assert [line.split()[1] for line in shown] == ['vmi', 'proxy', 'fac', 'app']
    assert (
        f'--forbid {APP}=write' in shown[0]
        and "--md 'of the manifest'" in shown[3]
        and '--memory 100' in shown[3]
    )


@pytest.mark.skipif(os.geteuid() != 0, reason='accounts are made by root')
def test_setup_makes_account_directories_and_roots_once(work):
    """In a mount namespace with an /etc of its own: the host keeps its accounts as they are."""
    subprocess.run(['cp', '-a', '/etc', work / 'etc'], check=True)
    environment = dict(os.environ, FURNACE_DIR=str(work / 'opt'))

    def inside(*command):
        script = f'mount --bind {work}/etc /etc && exec "$@"'
        return subprocess.run(
            ['unshare', '--mount', 'sh', '-c', script, 'sh', *map(str, command)],
            capture_output=True,
            text=True,
            timeout=300,
            env=environment,
        )

    had_account = inside('getent', 'passwd', 'furnace').returncode == 0
    missing = inside(FURNACE, 'setup', '--check')
    assert (
        missing.returncode == 1 and f'directory {work}/opt/app_storage/tenant_data: missing' in missing.stdout
    ), missing
    made = inside(FURNACE, 'setup')
    assert made.returncode == 0 and made.stdout.count('ok ') == (7 if had_account else 8), made
    entry = inside('getent', 'passwd', 'furnace').stdout.strip().split(':')
    assert entry[6] == '/usr/sbin/nologin' and not Path(entry[5]).exists()
    assert (work / 'opt/app_storage/tenant_data').stat().st_uid == int(entry[2])
    assert (
        'made' not in inside(FURNACE, 'setup').stdout and inside(FURNACE, 'setup', '--check').returncode == 0
    )


@pytest.mark.skipif(os.geteuid() != 0, reason='accounts are made by root')
@pytest.mark.parametrize('was_there', ['vmi', 'app', 'fac', 'vmi fac', 'all'])
def test_setup_while_partitions_run_locks_no_app_out(sim_cloud, work, was_there):
    """What started before the account was made, and what starts after it, serve each other."""
    subprocess.run(['cp', '-a', '/etc', work / 'etc'], check=True)
    code = sim_cloud.source(
        'app',
        '''
import fe
class App:
    def __init__(self, ctx):
        fe.event_register({'event_type': fe.TIMER, 'time_value': 0.1, 'callback': self.tell})
    def tell(self, ctx):
        try:
            print(fe.get_name(), fe.io_set('key', 'value'), flush=True)
        except Exception as error:
            print(error, flush=True)
''',
    )
    commands = {
        'vmi': ('vmi', 'sim', '--driver', 'simulator', '--vmi', sim_cloud.vmi_dir),
        'fac': ('fac', *sim_cloud.fac_arguments(app=APP)),
        'app': ('app', '-c', code, '--u2', APP, '--vmi', sim_cloud.vmi_dir, '--fac', sim_cloud.fac_dir),
    }
    accounts = {}

    def start(kind, *prefix):
        process = subprocess.Popen(
            [*map(str, prefix), FURNACE, *map(str, commands[kind])],
            stdout=open(work / f'{kind}.out', 'w'),
            stderr=open(work / f'{kind}.log', 'w'),
        )
        started.append(process)
        eventually(
            lambda: {'vmi': 'serving VM', 'fac': 'serving app', 'app': ''}[kind]
            in (work / f'{kind}.log').read_text(),
            30,
            kind,
        )
        inside = Path(f'/proc/{partition_of(process.pid)}/status')
        accounts[kind] = eventually(
            lambda: int(re.search(r'Uid:\t(\d+)', inside.read_text())[1]), 10, 'another user than root'
        )

    # An /etc of its own, without the account; then with it. Both are ended with their namespaces.
    without = f"mount --bind {work}/etc /etc && sed -i '/^furnace:/d' /etc/passwd /etc/group && exec \"$@\""
    account = 'furnace:x:64321:64321::/nonexistent:/usr/sbin/nologin'
    made = (
        f"mount --bind {work}/etc /etc && (getent passwd furnace >/dev/null || echo '{account}'"
        " >>/etc/passwd) && exec \"$@\""
    )
    early = ['vmi', 'fac', 'app'] if was_there == 'all' else was_there.split()
    started = []
    try:
        for kind in early:
            start(kind, 'unshare', '--mount', 'sh', '-c', without, 'sh')
        for kind in ('vmi', 'fac', 'app'):
            if kind not in early:
                start(kind, 'unshare', '--mount', 'sh', '-c', made, 'sh')
        eventually(lambda: 'sim key' in (work / 'app.out').read_text(), 15, 'an answer')
        assert {accounts[kind] for kind in early} == {65432}
        if was_there == 'fac':
            assert accounts['vmi'] == 64321
    finally:
        for process in started:
            process.terminate()
        for process in started:
            process.wait(20)
