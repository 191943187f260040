"""Limits of partitions: the host's own control groups hold them, and nothing is left behind."""

import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
import uuid
from pathlib import Path

import pytest

from furnace_testing import FURNACE, ROOT, eventually, furnace


@pytest.fixture
def name():
    """The name of a control group that this test has; skips where none can be made."""
    made = f'test-{uuid.uuid4().hex[:8]}'
    result = furnace('cgroup', 'make', made, '--memory', 64, check=False)
    if result.returncode != 0:
        pytest.skip(f'no control groups can be made here: {result.stderr}')
    yield made
    furnace('cgroup', 'remove', made, check=False)
    assert not left_behind(made)


def left_behind(name):
    return [path for path in Path('/sys/fs/cgroup').rglob(name) if path.is_dir()]


def inside(name, *command, **options):
    return subprocess.run(
        [FURNACE, 'cgroup', 'exec', name, '--', *command],
        capture_output=True,
        text=True,
        timeout=60,
        **options,
    )


def shown(name):
    """{column: text} of a group."""
    line = furnace('cgroup', 'show', name).stdout.splitlines()[1]
    cpu, memory, processes, oom, no_fork = re.fullmatch(
        rf'{name} +([\d.]+) +([\d.]+ of \d+) +(\d+ of \d+) +(\d+) +(\d+)', line
    ).groups()
    return {
        'memory': memory,
        'processes': processes,
        'oom': int(oom),
        'no fork': int(no_fork),
        'cpu': float(cpu),
    }


def test_memory_past_the_limit_ends_the_program_and_is_counted(name):
    assert inside(name, sys.executable, '-c', 'print(len(bytearray(20 << 20)))').stdout == f'{20 << 20}\n'
    result = inside(name, sys.executable, '-c', 'print(len(b"x" * (200 << 20)))')
    assert result.returncode == -9 and result.stdout == ''
    assert shown(name)['oom'] >= 1
    assert shown(name)['memory'].endswith('of 64')


def test_a_fork_bomb_gets_no_further_than_the_limit(name):
    code = '''import os, time
made = 0
try:
    while True:
        if os.fork() == 0:
            os.close(1), os.close(2)
            time.sleep(60)
        made += 1
except BlockingIOError:
    print(made, flush=True)
os._exit(0)
'''
    assert inside(name, sys.executable, '-c', code).stdout == '29\n'
    assert shown(name)['processes'] == '29 of 30' and shown(name)['no fork'] == 1
    furnace('cgroup', 'remove', name)
    assert not left_behind(name)


def test_cpu_time_is_limited_and_shown(name):
    furnace('cgroup', 'make', name, '--cpu', 20)
    code = (
        'import time\nend = time.monotonic() + 2\nwhile time.monotonic() < end:'
        ' pass\nprint(time.process_time())'
    )
    used = float(inside(name, sys.executable, '-c', code).stdout)
    assert used < 1.2
    assert shown(name)['cpu'] > 0.1


def test_removing_a_group_ends_what_runs_in_it(name):
    process = subprocess.Popen([FURNACE, 'cgroup', 'exec', name, '--', 'sh', '-c', 'sleep 1000 & sleep 1000'])
    eventually(lambda: shown(name)['processes'] == '3 of 30')
    furnace('cgroup', 'remove', name)
    assert process.wait(5) == -9


def test_names_and_missing_groups_are_refused():
    assert 'expected 1 to 64 of' in furnace('cgroup', 'make', '../x', check=False).stderr
    assert "no cgroup 'none-such'" in furnace('cgroup', 'show', 'none-such', check=False).stderr
    assert "no cgroup 'none-such'" in furnace('cgroup', 'exec', 'none-such', '--', 'true', check=False).stderr


SHELLS = [shell for shell in ('bash', 'zsh') if shutil.which(shell)]


def in_shell(shell, script, **environment):
    source = ROOT / 'shell' / f'furnace.{shell}'
    return subprocess.run(
        [shell, '-c', f'source {source}\n{script}'],
        capture_output=True,
        text=True,
        timeout=60,
        env={**os.environ, 'FURNACE': str(FURNACE), **environment},
    )


@pytest.mark.parametrize('shell', ['bash', 'zsh'])
def test_shell_functions_make_list_and_remove_groups(shell, name):
    assert shell in SHELLS
    made = name + '-vmi'
    result = in_shell(shell, f'cgmk {made} && cglist {made} && cgrm {made}')
    assert result.returncode == 0 and 'of 64' in result.stdout and '0 of 30' in result.stdout, result
    assert not left_behind(made)
    assert in_shell(shell, 'cgmk').stderr == 'usage: cgmk NAME\n'


@pytest.mark.parametrize('shell', ['bash', 'zsh'])
def test_shell_functions_start_partitions_of_a_tenant(shell):
    work = Path(tempfile.mkdtemp(prefix='f-', dir='/tmp'))  # the sockets' paths are long
    tenant = work / 'app_storage' / 'tenant_data'
    app, vmi = (f'33333333-3333-4333-8333-333333333333-{kind}' for kind in ('app', 'vmi'))
    furnace('keys', 'new', tenant / app)
    (work / 'hello.py').write_text(
        'import fe\nclass App:\n    def __init__(self, ctx):\n'
        '        print(ctx["metadata"], len(fe.process_list()) > 0)\n        fe.exit()\n'
    )
    script = f'''mvmi {ROOT}/docs/simulator.toml {vmi} & partition=$!
fac {app} 127.0.0.1 5999 & other=$!
timeout 20 sh -c 'until [ -S {tenant}/{vmi}/vmi_socket/vmi_rtr ]; do sleep 0.1; done'
app {app} {vmi} "some text" {work}/hello.py
pkill -P $partition; pkill -P $other; wait'''
    result = in_shell(shell, script, FURNACE_DIR=str(work))
    assert 'some text True' in result.stdout, result
    time.sleep(0.1)
    assert subprocess.run(['pgrep', '-f', str(work)], capture_output=True).stdout == b''
    shutil.rmtree(work)
