"""Partitions: real bubblewrap, seccomp, Landlock and control groups; what is inside can't get out, and the
rest works.
"""

import os
import signal
import subprocess
from pathlib import Path

import pytest

from furnace_testing import APP, FURNACE, ROOT, eventually, furnace, partition_of, run_app


class Confined:
    """Starts the three partitions of an app on the simulator, each behind its walls."""

    def __init__(self, cloud):
        self.cloud = cloud

    def vmi(self, *flags):
        return self.cloud.start_vmi(*flags)

    def app(self, code, *flags, app=APP):
        return self.cloud.start('app', *self.cloud.app_arguments(code, app=app), *flags)

    def fac(self, *flags):
        fac = self.cloud.start('fac', *self.cloud.fac_arguments(), *flags)
        fac.wait_log('serving app')
        return fac


@pytest.fixture
def confined(sim_cloud):
    """All partitions of an app, with their walls, on the simulator."""
    return Confined(sim_cloud)


def app_code(body):
    lines = '\n'.join('        ' + line for line in body.strip().splitlines())
    return f'import fe\nclass App:\n    def __init__(self, ctx):\n{lines}\n        fe.exit()\n'


BACKEND = '''
import be
class AppBE:
    def __init__(self, ctx):
        be.event_register({'event_type': be.FE, 'callback': lambda ctx: 'heard ' + ctx.message})
'''


def test_an_app_reads_its_vm_stores_values_and_asks_its_backend(confined):
    cloud = confined.cloud
    cloud.start_backend(BACKEND)
    cloud.start_proxy()
    confined.fac()
    confined.vmi()
    app = confined.app(
        app_code(
            '''
import decimal, hashlib, json
print(len(fe.process_list()), fe.io_set('key', 'value'), fe.io_get('key'), fe.request('hello'))
print(hashlib.sha256(b'').hexdigest()[:8], decimal.Decimal('0.1') * 3, json.dumps([1]))
'''
        )
    )
    assert app.wait_end(20) == 0, app.log
    assert app.out == '8 key value heard hello\ne3b0c442 0.3 [1]\n'
    assert 'violation' not in app.log


def test_what_an_app_sees(confined):
    """Nothing of the host: no other file of the directory its own came from, no shell, no /proc, no /dev."""
    confined.vmi()
    app = confined.app(
        app_code(
            '''
import os
for directory in ('/opt/furnace/app', '/opt/furnace/vmi_socket'):
    print(len(os.listdir(directory)))
print(os.getuid(), os.getpid(), os.uname().nodename, sorted(os.environ))
'''
        ),
        '--audit',
    )
    assert app.wait_end(20) == 0, app.log
    assert app.out.splitlines()[:2] == ['1', '1']
    assert app.out.splitlines()[2] == "1000 1 furnace.sandbox ['HOME', 'HOSTNAME', 'LANG', 'PATH']"
    shown = confined.app(
        app_code(
            '''
import os
print([path for path in ('/bin/sh', '/usr/bin/sh', '/usr/bin/env', '/proc/self', '/dev/null', '/etc/passwd', '/root', '/tmp', '/home') if os.path.exists(path)])
'''
        ),
        '--no-inspect',
    )
    assert shown.wait_end(20) == 0, shown.log
    assert shown.out == '[]\n'


def test_the_library_is_opened_once_and_not_for_each_module(confined):
    confined.vmi()
    app = confined.app(
        app_code(
            '''
import _io
opened, really = [], _io.open_code
_io.open_code = lambda path: opened.append(path) or really(path)
import xml.etree.ElementTree, csv, tomllib
print(opened, tomllib.loads('a = 1'))
'''
        )
    )
    assert app.wait_end(20) == 0, app.log
    assert app.out == "[] {'a': 1}\n"


def test_a_vmi_partition_gets_its_vm_as_descriptors(cloud):
    """Inside there is no way to QEMU; what it serves is the guest, which goes on when the partition is
    killed.
    """
    vmi = cloud.start_vmi()
    inside = partition_of(vmi.pid)
    assert not Path(f'/proc/{inside}/root/run').exists() and not Path(f'/proc/{inside}/root/proc').exists()
    assert os.readlink(f'/proc/{inside}/ns/net') != os.readlink('/proc/self/ns/net')
    status = Path(f'/proc/{inside}/status').read_text()
    assert 'CapEff:\t0000000000000000' in status and 'NoNewPrivs:\t1' in status and 'Seccomp:\t2' in status
    (names,) = run_app(cloud, "show([task['name'] for task in fe.process_list().values()])")
    assert 'init' in names and 'kthreadd' in names
    run_app(cloud, 'show(fe.pause_vm())')
    vmi.stop(signal.SIGKILL)
    eventually(lambda: furnace('ps', cloud.vm).stdout, 5, 'the guest')


def test_fac_connects_to_its_proxy_and_nowhere_else(confined):
    """The rule for the proxy's address is there; with that of another the first attempt ends the
    partition.
    """
    cloud = confined.cloud
    cloud.start_backend(BACKEND)
    cloud.start_proxy()
    fac = confined.fac()
    fac.wait_log('connected to the proxy')
    fac.stop()
    empty = cloud.work / 'elsewhere.policy'
    empty.write_text(f'INCLUDE {ROOT}/policies/fac.policy\n')
    unlearned = cloud.start(
        'inspect', '--policy', empty, '--', FURNACE.parent / 'furnace-fac', *cloud.fac_arguments()
    )
    assert unlearned.wait_end(10) == 159, unlearned.log


def test_an_app_is_served_only_under_its_own_identity(confined):
    """A stranger at the app's own socket gets an error, whatever app it says it is."""
    import zmq

    vmi = confined.vmi()
    app = confined.app(app_code('print(fe.get_name())'), app='mine')
    assert app.wait_end(20) == 0 and app.out == 'sim\n', app.log
    with zmq.Context() as context, context.socket(zmq.REQ) as stranger:
        stranger.setsockopt(zmq.IDENTITY, b'other-r')
        stranger.setsockopt(zmq.LINGER, 0)
        stranger.connect(f'ipc://{confined.cloud.vmi_dir}/mine/vmi_rtr')
        stranger.send(b'')
        assert stranger.poll(5000), 'a REQ is never left without an answer'
    vmi.wait_log("refused: who calls at the socket of app mine calls itself 'other-r'")


@pytest.mark.parametrize('app', ['..', '.', '.hidden', 'a/b', ''])
def test_an_app_id_is_no_way_to_another_directory(confined, app):
    refused = confined.app(app_code('pass'), app=app)
    assert refused.wait_end(10) == 1 and 'app id' in refused.log, refused.log


def test_a_launcher_that_is_killed_leaves_nothing(confined):
    confined.vmi()
    app = confined.app(app_code('import time\nwhile True: time.sleep(1)'))
    inside = partition_of(app.pid)
    app.stop(signal.SIGKILL)
    eventually(lambda: not Path(f'/proc/{inside}').exists(), 10, 'end of the partition')
    eventually(lambda: f'.{app.pid} ' not in furnace('cgroup', 'show').stdout + ' ', 10, 'end of its cgroup')


def test_roots_are_the_same_when_built_twice_and_changes_are_seen(work):
    first, second = (furnace('rootfs', 'build', 'fac', '-o', work / name).stdout for name in ('a', 'b'))
    assert first == second
    assert furnace('rootfs', 'verify', work / 'a').stdout.endswith(first)
    assert not [path for path in (work / 'a').rglob('*') if path.is_file() and path.stat().st_mode & 0o6000]
    (work / 'a' / 'usr' / 'bin' / 'furnace-fac').write_bytes(b'else')
    (work / 'a' / 'usr' / 'bin' / 'more').write_bytes(b'')
    changed = furnace('rootfs', 'verify', work / 'a', check=False)
    assert changed.returncode == 1
    assert (
        'usr/bin/furnace-fac is changed' in changed.stdout
        and 'usr/bin/more is not in the manifest' in changed.stdout
    )


def test_too_much_output_is_left_out_and_counted(confined):
    confined.vmi()
    app = confined.app(app_code("for _ in range(40): print('x' * 1_000_000)"))
    assert app.wait_end(40) == 0, app.log
    assert 16_000_000 <= len(app.out) < 20_000_000
    assert 'prints too much' in app.log


def test_walls_that_are_left_out_are_reported(confined):
    confined.vmi('--no-inspect').wait_log('NOT INSPECTED')
    shell = subprocess.run(
        [
            FURNACE,
            'app',
            '-c',
            confined.cloud.source('app', app_code('pass')),
            '--u2',
            APP,
            '--vmi',
            confined.cloud.vmi_dir,
            '--shell',
        ],
        input='id -u; ls /opt/furnace/app | wc -l\n',
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert 'A SHELL' in shell.stderr and shell.stdout.split() == ['1000', '1'], shell.stdout + shell.stderr
