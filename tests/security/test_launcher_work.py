"""Work that an app makes its launcher do: it costs the launcher little, and it has the app's own quota of
CPU.

CPU times are compared with each other, not with the clock: the machine may be as busy as it likes.
"""

import os
import re
import signal
import time
from pathlib import Path

import pytest

from furnace_testing import eventually, furnace, partition_of

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason='control groups are made by root')


def cpu_of(pid):
    """Seconds that a process's first thread has run."""
    return int(Path(f'/proc/{pid}/schedstat').read_text().split()[0]) / 1e9


def start(place, body, *flags):
    """An app whose constructor is `body`."""
    lines = ''.join('        ' + line + '\n' for line in body.strip('\n').splitlines())
    code = f'import fe, os, time\nclass App:\n    def __init__(self, ctx):\n{lines}'
    app = place.start(
        'app',
        '-c',
        place.source('work', code),
        '--u2',
        f'work-{len(place.processes)}',
        '--fac',
        place.fac_dir,
        '--vmi',
        place.vmi_dir,
        *flags,
    )
    app.wait_out('begins')
    return app


LOOK_UP = '''
print('begins', flush=True)
for _ in range(COUNT):
    try:
        os.close(os.open(PATH, os.O_RDONLY))
    except OSError:
        pass
print('has looked up', flush=True)
time.sleep(1000)
'''


def test_a_path_of_thousands_of_components_costs_little_more_than_one_of_two(sim_cloud):
    """The launcher opened each of its missing directories: 2,000 walks of up to 4,000 bytes."""
    sim_cloud.start_vmi()
    cost = {}
    for name, path in (('short', '/usr/x/y'), ('long', '/usr' + '/x' * 2000)):
        app = start(sim_cloud, LOOK_UP.replace('COUNT', '2000').replace('PATH', repr(path)), '--audit')
        before = cpu_of(app.pid)
        app.wait_out('has looked up', 120)
        cost[name] = cpu_of(app.pid) - before
    assert cost['long'] < 20 * cost['short'], cost


@needs_root
def test_look_ups_have_the_apps_quota(sim_cloud):
    sim_cloud.start_vmi()
    app = start(
        sim_cloud,
        LOOK_UP.replace('COUNT', '10**9').replace('PATH', repr('/usr' + '/x' * 2000)),
        '--audit',
        '--cpu',
        '5',
    )

    def used(seconds=3):
        before = cpu_of(app.pid)
        time.sleep(seconds)
        return cpu_of(app.pid) - before

    groups = [
        group for group in Path('/sys/fs/cgroup').rglob(f'furnace-launchers/{app.pid}') if group.is_dir()
    ]
    assert groups, 'the launcher has a group'
    assert all(str(app.pid) in (group / 'cgroup.procs').read_text().split() for group in groups)
    with_wall = used()
    for group in groups:  # out of it
        (group.parents[1] / 'cgroup.procs').write_text(str(app.pid))
    without = used()
    print(f'\n    CPU of the launcher in 3 s: {with_wall:.2f} s, without its group {without:.2f} s')
    assert without > 2 * with_wall
    app.stop()
    assert not [group for group in groups if group.exists()]


@needs_root
@pytest.mark.parametrize('how', [signal.SIGTERM, signal.SIGKILL])
def test_nothing_of_a_launchers_group_is_left(sim_cloud, how):
    sim_cloud.start_vmi()
    app = start(sim_cloud, 'print("begins", flush=True)')

    def left():
        return [*Path('/sys/fs/cgroup').rglob(f'furnace-launchers/{app.pid}')]

    assert left()
    app.process.send_signal(how)
    app.wait_end(20)
    eventually(lambda: not left(), 20, 'the end of the group')
    if how == signal.SIGTERM:
        assert app.process.returncode == 0, app.log


@pytest.mark.parametrize('piece', [1, 100_000], ids=['byte', 'block'])
def test_a_flood_of_output_costs_the_app_more_than_its_launcher(sim_cloud, piece):
    """It was read as it came: the launcher worked more than the app."""
    sim_cloud.start_vmi()
    app = start(sim_cloud, f'print("begins", flush=True)\nwhile True:\n    os.write(2, b"y" * {piece})')
    inside = partition_of(app.pid)
    before = cpu_of(app.pid), cpu_of(inside)
    eventually(lambda: cpu_of(inside) > before[1] + 0.3 or 'prints too much' in app.log, 60, 'some work')
    before = cpu_of(app.pid), cpu_of(inside)
    time.sleep(3)
    launcher, program = cpu_of(app.pid) - before[0], cpu_of(inside) - before[1]
    print(f'\n    CPU in 3 s: launcher {launcher:.3f} s, app {program:.3f} s')
    if piece == 1:
        assert launcher < program / 2
    else:  # it waits for its launcher, which reads ten times a second
        assert launcher < 0.5


@needs_root
def test_top_counts_the_launchers_time_as_the_apps(sim_cloud):
    sim_cloud.start_vmi()
    app = start(sim_cloud, LOOK_UP.replace('COUNT', '20000').replace('PATH', repr('/usr/x')), '--audit')
    app.wait_out('has looked up', 120)
    launcher = cpu_of(app.pid)
    assert launcher > 0.3
    shown = re.search(r'^app work-\d+ +\d+ +([\d.]+)', furnace('top', '--once').stdout, re.M)
    assert float(shown[1]) > launcher, 'and its own beside'
