"""What the walls cost at the start of partitions. Usage: partitions.py (after a build)

Each figure is the time from the start of the launcher to the first line that the partition's program or app
prints or logs, median of 15; plain, without a policy, and whole are taken in turn."""

import os
import signal
import statistics
import subprocess
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
FURNACE = ROOT / 'build' / 'bin' / 'furnace'
WAYS = {'plain': ['--unconfined'], 'in its view, no policy': ['--no-inspect'], 'whole': []}
ROUNDS = 15

APP = '''
import json, re, collections, fe
class App:
    def __init__(self, ctx):
        print('up', flush=True)
        fe.exit()
'''


def until(words, *command):
    """Seconds until a line with one of the words; the process is left running and returned."""
    start = time.monotonic()
    process = subprocess.Popen(
        [FURNACE, *map(str, command)], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    for line in process.stdout:
        if words in line:
            return time.monotonic() - start, process
    raise RuntimeError(f'{command}: no "{words}"')


def stop(process):
    process.send_signal(signal.SIGTERM)
    process.stdout.read()
    process.wait()


def show(name, times):
    plain = times['plain']
    print(
        f'start of {name}: '
        + ', '.join(
            f'{way} {statistics.median(each) * 1000:.0f} ms'
            + ('' if way == 'plain' else f' ({statistics.median(a / b for a, b in zip(each, plain)):.2f}x)')
            for way, each in times.items()
        )
    )


with tempfile.TemporaryDirectory(prefix='furnace-bench-', dir='/tmp') as directory:
    work = Path(directory)
    os.environ['FURNACE_RUN'] = str(work / 'run')
    (work / 'app.py').write_text(APP)
    subprocess.run([FURNACE, 'keys', 'new', work / 'keys'], check=True, stdout=subprocess.DEVNULL)
    vmi = ('serving VM', 'vmi', 'sim', '--driver', 'simulator', '--vmi')
    fac = (
        'serving app',
        'fac',
        '--u2',
        'bench',
        '--kp',
        work / 'keys',
        '--ip',
        '127.0.0.1',
        '--it',
        5999,
        '--fac',
    )
    app = ('up', 'app', '-c', work / 'app', '--u2', 'bench', '--vmi', work / 'served')
    stop(until(*vmi, work / 'warm')[1])  # roots are built once
    stop(until(*fac, work / 'warm' / 'fac')[1])
    _, served = until(*vmi, work / 'served')
    stop(until(*app)[1])

    python = [0.0] * ROUNDS
    times = {
        name: {way: [] for way in WAYS} for name in ('furnace vmi', 'furnace fac', 'furnace app (Python)')
    }
    for i in range(ROUNDS):
        start = time.monotonic()
        subprocess.run(['/usr/bin/python3', '-c', 'import json, re, collections'], check=True)
        python[i] = time.monotonic() - start
        for way, flags in WAYS.items():
            for name, command in (
                ('furnace vmi', (*vmi, work / f'vmi{i}')),
                ('furnace fac', (*fac, work / f'fac{i}')),
                ('furnace app (Python)', app),
            ):
                seconds, process = until(*command, *flags)
                stop(process)
                times[name][way].append(seconds)
    print(f'floor, /usr/bin/python3 with the same imports: {statistics.median(python) * 1000:.0f} ms')
    for name, each in times.items():
        show(name, each)
    app_times = times['furnace app (Python)']
    ratio = statistics.median(a / b for a, b in zip(app_times['whole'], app_times['in its view, no policy']))
    print(f'a Python app under its policy beside the same without: {ratio:.2f}x')
    total = [sum(times[name]['whole'][i] for name in times) - python[i] for i in range(ROUNDS)]
    print(f'all three, one after the other, beyond Python\'s own start: {statistics.median(total):.2f} s')
    stop(served)
