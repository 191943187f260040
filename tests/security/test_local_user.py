"""Attacks of a local user: links, second names, FIFOs, sockets and directories of his where root, or another
user, works.

Each command is run over what he has prepared. It says why it refuses, and of the files that he was after none
is changed. Links in sticky directories, hard links and FIFOs are left to us: what kernels forbid by
fs.protected_* is off, or made by root here."""

import os
import re
import socket
import subprocess
import sys
import time
import uuid
from pathlib import Path

import pytest

from furnace_testing import APP, FURNACE, ROOT, Process

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason='needs other users')

ATTACKER, VICTIM, PARTITIONS = 65534, 61234, 65432
# A race is won in milliseconds, or not at all; FURNACE_RACE_SECONDS=30 tries it for longer.
RACE = float(os.environ.get('FURNACE_RACE_SECONDS', '10'))
REASON = (
    r'belongs to user \d+|others can write to|is a link|has another name|under a second name|no directory|not'
    r' a directory|'
    r'not a regular file'
)


class Bench:
    """A sticky directory that all use, and in another place what an attacker would have changed, or read."""

    def __init__(self, work, user):
        self.user, self.all, self.host = user, work / 'all', work / 'host'
        work.chmod(0o755)
        self.all.mkdir()
        self.all.chmod(0o1777)
        self.own = self.mine(work / 'own')
        (self.own / 'app.py').write_text(
            'class App:\n    def __init__(self, ctx):\n        import fe\n        fe.exit()\n'
        )
        self.host.mkdir()
        self.host.chmod(0o755)
        for name in ('etc', 'etc/vm', 'etc/below'):
            self.mine(self.host / name)
        for name in ('passwd', 'vmi_rtr', 'app.key', 'secret.py', 'secret.toml'):
            file = self.host / 'etc' / name
            file.write_text('SECRET of the victim')
            file.chmod(0o600)
            os.chown(file, user, user)
        self.before = self.state()

    def mine(self, path, mode=0o755):
        path.mkdir()
        path.chmod(mode)
        os.chown(path, self.user, self.user)
        return path

    def theirs(self, path):
        path.mkdir()
        os.chown(path, ATTACKER, ATTACKER)
        return path

    def link(self, path, target):
        path.symlink_to(target)
        os.lchown(path, ATTACKER, ATTACKER)
        return path

    def state(self):
        """Names, owners, modes, lists and content: whatever changes one of these changes the time of the
        change.
        """
        files = sorted([self.host, *self.host.rglob('*')])
        return {
            str(file): (file.lstat().st_ctime_ns, file.lstat().st_uid, oct(file.lstat().st_mode))
            for file in files
        }

    def environment(self, **more):
        clean = {
            key: value
            for key, value in os.environ.items()
            if not key.startswith(('XDG_', 'HOME', 'FURNACE_'))
        }
        return clean | {'FURNACE_RUN': str(self.own / 'run'), 'FURNACE_CACHE': str(self.own / 'cache')} | more

    def run(self, *command, seconds=60, **environment):
        return subprocess.run(
            [FURNACE, *map(str, command)],
            capture_output=True,
            text=True,
            timeout=seconds,
            user=self.user,
            group=self.user,
            extra_groups=[],
            cwd='/',
            env=self.environment(**environment),
        )

    def refuses(self, *command, reason=REASON, **environment):
        ended = self.run(*command, **environment)
        assert ended.returncode == 1 and re.search(reason, ended.stderr), ended
        assert 'SECRET' not in ended.stdout + ended.stderr
        self.is_unharmed()
        return ended

    def is_unharmed(self):
        now = self.state()
        assert now == self.before, {
            key: (now.get(key), self.before.get(key))
            for key in {*now, *self.before}
            if now.get(key) != self.before.get(key)
        }


@pytest.fixture(params=[0, VICTIM], ids=['root', 'user'])
def bench(work, request):
    """Directories of the operator and of another user; commands run as root, and as a user."""
    return Bench(work, request.param)


@pytest.fixture
def of_root(work):
    """Directories of the operator and of another user; commands run as root."""
    return Bench(work, 0)


# What he has prepared: the directory that a command is then told to use.
HOSTILE = {
    'his own': lambda b: b.theirs(b.all / 'x'),
    'below his own': lambda b: b.mine(b.theirs(b.all / 'x') / 'y'),
    'far below his own': lambda b: b.theirs(b.all / 'x') / 'y' / 'z',
    'a link': lambda b: b.link(b.all / 'x', b.host / 'etc'),
    'below a link': lambda b: b.link(b.all / 'x', b.host / 'etc') / 'below',
    'to be made below a link': lambda b: b.link(b.all / 'x', b.host / 'etc') / 'new',
    'a link up': lambda b: b.link(b.theirs(b.all / 'x') / 'y', '../../host/etc'),
    'a link to nothing': lambda b: b.link(b.all / 'x', b.host / 'etc' / 'new'),
    'a link of a partition': lambda b: (
        os.lchown(b.link(b.own / 'x', b.host / 'etc'), PARTITIONS, -1),
        b.own / 'x',
    )[1],
    'where all write': lambda b: b.mine(b.own / 'x', 0o777),
    'below where all write': lambda b: b.mine(b.mine(b.own / 'x', 0o777) / 'y'),
    'where his group writes': lambda b: (os.chown(b.mine(b.own / 'x', 0o775), -1, ATTACKER), b.own / 'x')[1],
    'where all may begin': lambda b: b.mine(b.own / 'x', 0o1777),
}
LINKS = [name for name in HOSTILE if 'link' in name]

COMMANDS = {
    'vmi --vmi': lambda b, at: b.refuses('vmi', 'sim', '--driver', 'simulator', '--vmi', at),
    'vmi --unconfined --vmi': lambda b, at: b.refuses(
        'vmi', 'sim', '--driver', 'simulator', '--vmi', at, '--unconfined'
    ),
    'app --vmi': lambda b, at: b.refuses('app', '-c', b.own / 'app', '--u2', APP, '--vmi', at),
    'app --common-socket': lambda b, at: b.refuses(
        'app', '-c', b.own / 'app', '--u2', APP, '--vmi', at, '--common-socket'
    ),
    'fac --fac': lambda b, at: b.refuses('fac', '--u2', APP, '--kp', b.own, '--ip', '127.0.0.1', '--fac', at),
    'fac --storage': lambda b, at: b.refuses(
        'fac', '--u2', APP, '--kp', b.own, '--ip', '127.0.0.1', '--fac', b.own / 'fac', '--storage', at
    ),
    'the cache': lambda b, at: b.refuses(
        'vmi', 'sim', '--driver', 'simulator', '--vmi', b.own / 'vmi', FURNACE_CACHE=str(at)
    ),
    'vm start': lambda b, at: b.refuses(
        'vm',
        'start',
        'x',
        '--kernel',
        b.own / 'app.py',
        '--initrd',
        b.own / 'app.py',
        '--accel',
        'tcg',
        FURNACE_RUN=str(at),
    ),
    'run': lambda b, at: b.refuses('run', APP, '--manifest', at_manifest(b, at)),
}


def at_manifest(bench, at):
    """A manifest of ours that names the directory: its own may be no better, where it can be written at
    all.
    """
    (bench.own / 'furnace.toml').write_text(
        f'code = "app"\n[vm]\nname = "sim"\ndriver = "simulator"\nsockets = "{at}"\n'
    )
    return bench.own / 'furnace.toml'


@pytest.mark.parametrize('hostile', HOSTILE)
@pytest.mark.parametrize('command', COMMANDS)
def test_a_directory_that_others_can_change_is_refused(bench, command, hostile):
    if (command, hostile) == ('the cache', 'where all may begin'):
        pytest.skip('what is made there is its maker\'s')
    COMMANDS[command](bench, HOSTILE[hostile](bench))


@pytest.mark.parametrize('what', ['fifo', 'file', 'socket'])
@pytest.mark.parametrize('command', COMMANDS)
def test_what_is_no_directory_is_not_waited_for(bench, command, what):
    at = bench.all / 'x'
    {
        'fifo': os.mkfifo,
        'file': Path.touch,
        'socket': lambda path: socket.socket(socket.AF_UNIX).bind(str(path)),
    }[what](at)
    os.chown(at, ATTACKER, ATTACKER)
    COMMANDS[command](bench, at)


@pytest.mark.parametrize('hostile', LINKS)
@pytest.mark.parametrize(
    'command',
    [
        ('keys', 'new', '{}'),
        ('keys', 'new', '{}/deeper'),
        ('policy', 'learn', '-o', '{}/passwd', '--', 'true'),
        ('vm', 'snapshot', ROOT / 'docs' / 'simulator.toml', '{}/passwd'),
        ('profile', 'export', ROOT / 'docs' / 'simulator.toml', '-o', '{}/passwd'),
        ('rootfs', 'build', 'fac', '-o', '{}/root'),
    ],
    ids=lambda words: ' '.join(map(str, words[:2])),
)
def test_nothing_is_written_through_a_link(bench, command, hostile):
    at = HOSTILE[hostile](bench)
    bench.refuses(*(str(word).format(at) for word in command))


def test_what_is_written_into_his_directory_is_written_there_and_nowhere_else(bench):
    """Root may put a file into a user's home. What lies in its way there is replaced, not followed."""
    home = bench.theirs(bench.all / 'home')
    home.chmod(0o777)
    for name in ('out', 'out.partial', 'app.key.1.tmp'):
        bench.link(home / name, bench.host / 'etc' / 'passwd')
    made = bench.run('vm', 'snapshot', ROOT / 'docs' / 'simulator.toml', home / 'out')
    assert made.returncode == 0, made
    assert (
        (home / 'out').is_file()
        and not (home / 'out').is_symlink()
        and (home / 'out').stat().st_mode & 0o777 == 0o600
    )
    bench.is_unharmed()


@pytest.mark.parametrize('kind', ['link', 'hard link', 'fifo', 'directory'])
@pytest.mark.parametrize('name', [f'.{APP}.lock', APP])
def test_what_was_put_into_a_socket_directory_is_not_used(bench, name, kind):
    """The directory is ours now; it could be written to before."""
    vmi = bench.mine(bench.own / 'vmi')
    if kind == 'directory' and name == APP:
        bench.theirs(vmi / name)
    else:
        {
            'link': lambda: bench.link(vmi / name, bench.host / 'etc' / ('' if name == APP else 'passwd')),
            'hard link': lambda: os.link(bench.host / 'etc' / 'passwd', vmi / name),
            'fifo': lambda: (os.mkfifo(vmi / name), os.chown(vmi / name, bench.user, -1)),
            'directory': lambda: (vmi / name).mkdir(),
        }[kind]()
    bench.before = bench.state()  # a hard link is counted where it leads
    bench.refuses(
        'app',
        '-c',
        bench.own / 'app',
        '--u2',
        APP,
        '--vmi',
        vmi,
        reason=REASON + '|Is a directory|Not a directory|Permission denied',
    )


def test_files_of_the_host_under_a_second_name_are_not_given_away(of_root, work):
    """hand_over gave all files in the directory to the partitions' account."""
    vmi = of_root.mine(of_root.own / 'vmi')
    os.link(of_root.host / 'etc' / 'passwd', vmi / 'vmi_rtr.lock.old')
    of_root.link(vmi / 'link', of_root.host / 'etc' / 'passwd')
    of_root.before = of_root.state()
    served = Process(work, 'vmi', 'vmi', 'sim', '--driver', 'simulator', '--vmi', vmi)
    served.wait_log('serving VM')
    assert served.stop() == 0
    assert vmi.stat().st_uid != 0, 'the directory itself was given away'
    of_root.is_unharmed()


@pytest.mark.parametrize('kind', ['link', 'hard link'])
@pytest.mark.parametrize('what', ['code', 'more', 'profile', 'vm', 'key'])
def test_a_file_is_not_read_through_his_names(bench, what, kind):
    """He would read in the partition what he may not, or have the partitions' account put on its list."""
    home = bench.theirs(bench.all / 'home')
    bench.run('keys', 'new', bench.host / 'etc' / 'below')  # no key of his would be read otherwise
    secret = (
        bench.host
        / 'etc'
        / {'code': 'secret.py', 'key': 'below/app.key', 'vm': 'secret.toml'}.get(what, 'passwd')
    )
    (home / 'be.pub').write_text((bench.host / 'etc' / 'below' / 'be.pub').read_text())
    at = home / {'code': 'x.py', 'key': 'app.key', 'vm': 'x.toml'}.get(what, 'x')
    if kind == 'link':
        bench.link(at, secret)
    else:
        os.link(secret, at)
    bench.before = bench.state()
    vmi = ('--vmi', bench.own / 'vmi')
    simulated = ('vmi', 'sim', '--driver', 'simulator', *vmi)
    command = {
        'code': ('app', '-c', home / 'x', '--u2', APP, *vmi),
        'more': ('app', '-c', bench.own / 'app', '--add', at, '--u2', APP, *vmi),
        'profile': (*simulated, '--profile', at),
        'vm': ('vmi', at, '--driver', 'simulator', *vmi),
        'key': ('fac', '--u2', APP, '--kp', home, '--ip', '127.0.0.1', '--fac', bench.own / 'fac'),
    }[what]
    bench.refuses(*command, reason=REASON)


def test_a_users_own_app_is_run_by_root(of_root, work, sim_cloud):
    """What is his, and reached without his links, is read as before."""
    home = of_root.theirs(of_root.all / 'home')
    (home / 'app.py').write_text(
        'import fe\nclass App:\n    def __init__(self, ctx):\n        print("runs")\n        fe.exit()\n'
    )
    os.chown(home / 'app.py', ATTACKER, ATTACKER)
    sim_cloud.start_vmi()
    app = sim_cloud.start('app', '-c', home / 'app', '--u2', APP, '--vmi', sim_cloud.vmi_dir)
    assert app.wait_end() == 0 and app.out == 'runs\n', app.log


def test_links_that_root_made_are_followed(of_root, work):
    (of_root.own / 'link').symlink_to(of_root.mine(of_root.own / 'real'))
    served = Process(
        work, 'vmi', 'vmi', 'sim', '--driver', 'simulator', '--vmi', of_root.own / 'link' / 'vmi'
    )
    served.wait_log('serving VM')
    assert served.stop() == 0 and (of_root.own / 'real' / 'vmi').is_dir()


@pytest.mark.parametrize(
    'hostile', ['his own', 'a link', 'below a link', 'where all write', 'below where all write']
)
def test_a_metrics_socket_is_not_made_where_others_can_exchange_it(bench, hostile):
    """It is removed by its path in the end."""
    at = HOSTILE[hostile](bench)
    bench.refuses(
        'vmi', 'sim', '--driver', 'simulator', '--vmi', bench.own / 'vmi', '--metrics', at / 'passwd'
    )


def test_a_file_in_the_place_of_a_metrics_socket_stays(bench):
    (bench.all / 'metrics').write_text('his')
    ended = bench.run(
        'vmi', 'sim', '--driver', 'simulator', '--vmi', bench.own / 'vmi', '--metrics', bench.all / 'metrics'
    )
    assert ended.returncode == 1 and 'metrics at' in ended.stderr, ended
    assert (bench.all / 'metrics').read_text() == 'his'


@pytest.fixture
def known_place(work):
    """The same for a user without XDG_RUNTIME_DIR, and the directory that he uses instead."""
    bench = Bench(work, VICTIM)
    place = Path(f'/tmp/furnace-{VICTIM}')
    assert not place.exists()
    yield bench, place
    if place.is_symlink():
        place.unlink()
    else:
        subprocess.run(['rm', '-rf', place], check=True)


def without_a_run_directory(bench, *command):
    environment = bench.environment()
    del environment['FURNACE_RUN']
    return subprocess.run(
        [FURNACE, *map(str, command)],
        capture_output=True,
        text=True,
        timeout=60,
        user=VICTIM,
        group=VICTIM,
        extra_groups=[],
        cwd='/',
        env=environment,
    )


@pytest.mark.parametrize(
    'command',
    [
        ('vm', 'stop', 'x'),
        ('vm', 'console', 'x'),
        ('vm', 'start', 'x', '--kernel', '/bin/true', '--initrd', '/bin/true', '--accel', 'tcg'),
    ],
    ids=lambda words: ' '.join(words[:2]),
)
@pytest.mark.parametrize('how', ['directory', 'link', 'link to the VM'])
def test_the_known_place_is_used_if_it_is_ours(known_place, command, how):
    bench, place = known_place
    if how == 'link':
        bench.mine(bench.host / 'etc' / 'vm' / 'x')
        bench.link(place, bench.host / 'etc')
    else:
        bench.theirs(place)
        bench.theirs(place / 'vm')
        if how == 'directory':
            bench.theirs(place / 'vm' / 'x')
            bench.link(place / 'vm' / 'x' / 'ram', bench.host / 'etc' / 'passwd')
        else:
            bench.link(place / 'vm' / 'x', bench.host / 'etc')
    bench.before = bench.state()
    ended = without_a_run_directory(bench, *command)
    assert ended.returncode == 1 and re.search(REASON, ended.stderr), ended
    bench.is_unharmed()


def test_states_in_a_strangers_directory_are_not_believed(known_place):
    bench, place = known_place
    bench.theirs(place)
    (place / 'partitions').mkdir()
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(place / 'partitions' / 'app.forged.1'))
    listener.listen()
    (place / 'partitions' / 'app.forged.1').chmod(0o777)
    listener.settimeout(1)
    assert 'forged' not in without_a_run_directory(bench, 'top', '--once').stdout
    with pytest.raises(TimeoutError):
        listener.accept()
    listener.close()


def test_what_a_user_leaves_in_the_environment_of_root_is_not_roots(of_root):
    """su and sudo -E leave HOME and XDG_RUNTIME_DIR as they were."""
    home = of_root.theirs(of_root.all / 'home')
    environment = of_root.environment(HOME=str(home), XDG_RUNTIME_DIR=str(home), XDG_CACHE_HOME=str(home))
    del environment['FURNACE_RUN'], environment['FURNACE_CACHE']
    subprocess.run(
        [FURNACE, 'ps', ROOT / 'docs' / 'simulator.toml'],
        env=environment,
        check=True,
        capture_output=True,
        timeout=60,
    )
    subprocess.run([FURNACE, 'vm', 'stop', 'x'], env=environment, capture_output=True, timeout=60)
    assert not list(home.iterdir())


def test_only_its_owner_can_open_the_ram_of_a_vm(work):
    """Where the run directory is small it lies in /dev/shm, under a name that nobody can take before."""
    name = f'ram-{uuid.uuid4().hex[:8]}'
    taken = Path(f'/dev/shm/furnace-0-{name}.ram')
    taken.write_text('his')
    os.chown(taken, ATTACKER, ATTACKER)
    ram = f'{work}/run/vm/{name}/ram'
    script = f'''mount -t tmpfs -o size=64m none {work} && export FURNACE_RUN={work}/run && trap '{FURNACE} vm stop {name}' EXIT
{FURNACE} vm start {name} --memory 256 --accel tcg --wait 0 && readlink {ram} && stat -Lc %a:%u {ram}'''
    try:
        made = subprocess.run(
            ['unshare', '--mount', 'bash', '-c', script], capture_output=True, text=True, timeout=120
        )
        assert made.returncode == 0, made
        ram, mode = made.stdout.splitlines()[-2:]
        assert ram.startswith('/dev/shm/furnace-ram-') and mode == '600:0', made.stdout
        assert taken.read_text() == 'his' and not Path(ram).exists()
    finally:
        taken.unlink()


# One that exchanges a directory of his with a link, as fast as he can. argv: user, name, other name.
EXCHANGES = '''
import ctypes, os, sys
os.setgroups([]); os.setgid(int(sys.argv[1])); os.setuid(int(sys.argv[1]))
libc = ctypes.CDLL(None, use_errno=True)
a, b = (os.fsencode(name) for name in sys.argv[2:4])
print('ready', flush=True)
while True:
    if libc.renameat2(-100, a, -100, b, 2) != 0: sys.exit(os.strerror(ctypes.get_errno()))
'''


class Exchanging:
    def __init__(self, user, name, other):
        self.process = subprocess.Popen(
            [sys.executable, '-c', EXCHANGES, str(user), str(name), str(other)],
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self.process.stdout.readline() == 'ready\n'

    def __enter__(self):
        return self

    def __exit__(self, *_):
        assert self.process.poll() is None, 'it exchanges to the end'
        self.process.kill()
        self.process.wait()


def test_race_for_the_directory_of_new_keys(bench):
    home = bench.theirs(bench.all / 'home')
    home.chmod(0o777)
    real = bench.theirs(home / 'real')
    real.chmod(0o777)
    bench.link(home / 'other', bench.host / 'etc')
    written = refused = 0
    with Exchanging(ATTACKER, real, home / 'other'):
        end = time.monotonic() + RACE
        while time.monotonic() < end:
            name = f'k{written + refused}'
            ended = bench.run('keys', 'new', real / name)
            written, refused = (written + 1, refused) if ended.returncode == 0 else (written, refused + 1)
            assert ended.returncode == 0 or re.search(REASON + '|No such file', ended.stderr), ended
            bench.is_unharmed()
    assert written and refused, (written, refused)


def test_race_for_a_socket_directory(bench):
    """It is refused whichever of the two is found, so nothing is given away."""
    real = bench.theirs(bench.all / 'real')
    bench.link(bench.all / 'other', bench.host / 'etc')
    with Exchanging(ATTACKER, real, bench.all / 'other'):
        end = time.monotonic() + RACE
        while time.monotonic() < end:
            for command in ('vmi --vmi', 'app --vmi', 'fac --fac', 'the cache', 'vm start'):
                COMMANDS[command](bench, real)


def test_race_for_the_directory_of_an_app(of_root, sim_cloud):
    """A VMI partition that was taken over owns the directory of sockets: it exchanges an app's with a link to
    the host's files.
    """
    sim_cloud.start_vmi()
    own = sim_cloud.vmi_dir / 'mine'
    own.mkdir()
    os.chown(own, sim_cloud.vmi_dir.stat().st_uid, -1)
    os.lchown(
        of_root.link(sim_cloud.vmi_dir / 'other', of_root.host / 'etc'), sim_cloud.vmi_dir.stat().st_uid, -1
    )
    seen = set()
    with Exchanging(sim_cloud.vmi_dir.stat().st_uid, own, sim_cloud.vmi_dir / 'other'):
        end = time.monotonic() + RACE
        while time.monotonic() < end:
            app = sim_cloud.start(
                'app',
                '-c',
                sim_cloud.source(
                    'app',
                    '''
import fe, os
class App:
    def __init__(self, ctx):
        print(os.listdir('/opt/furnace/vmi_socket'), flush=True)
        os._exit(0)
''',
                ),
                '--u2',
                'mine',
                '--vmi',
                sim_cloud.vmi_dir,
                '--no-inspect',
            )
            app.wait_end(30)
            assert 'passwd' not in app.out, app.out
            seen.add(app.out)
            of_root.is_unharmed()
    assert seen
