"""What walls cost beside another build of Furnace, in turn: the start of VMI, FAC and APP partition of a VM,
and a read.

Usage: walls.py BUILD  (after a build; starts its own VMs)
"""

import os
import statistics
import sys
import time
import uuid
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / 'tests'))
from furnace_testing import BUILD, RUN, Cloud, remove_run, start_by_hand, start_guest  # noqa: E402

ROUNDS = 11
APP = '''
import fe, time
class App:
    def __init__(self, ctx):
        print('up', flush=True)
        address = fe.translate_ksym2v('init_task')
        taken = []
        for _ in range(4000):
            start = time.perf_counter()
            fe.read_64_va(address, 0)
            taken.append(time.perf_counter() - start)
        print('read', sorted(taken)[2000] * 1e6, flush=True)
        fe.exit()
'''


def measure(build, work, vm):
    """Milliseconds until all three partitions serve, and microseconds of a read."""
    os.environ['FURNACE_CACHE'] = str(
        work / ('other' if build != BUILD else 'this')
    )  # each build has its own roots
    cloud = Cloud(work / uuid.uuid4().hex[:4], vm, program=build / 'bin' / 'furnace')
    try:
        start = time.monotonic()
        cloud.start_vmi()
        cloud.start_fac()
        app = cloud.start_app(APP)
        app.wait_out('up')
        taken = time.monotonic() - start
        app.wait_end(30)
        return taken * 1000, float(app.out.split()[-1])
    finally:
        cloud.stop()


def compare(title, work, vm):
    builds = {'other': Path(sys.argv[1]), 'this': BUILD}
    found = {name: [] for name in builds}
    for i in range(ROUNDS + 1):  # the first of each builds its roots
        for name, build in builds.items():
            found[name].append(measure(build, work, vm))
    figures = {name: [[one[kind] for one in each[1:]] for kind in range(2)] for name, each in found.items()}
    print(f'{title}:')
    for kind, (what, unit) in enumerate((('start of three partitions', 'ms'), ('read_64_va', 'us'))):
        medians = {name: statistics.median(each[kind]) for name, each in figures.items()}
        least = {name: min(each[kind]) for name, each in figures.items()}
        print(
            (
                f'  {what}: other build {medians["other"]:.0f} {unit} (least {least["other"]:.0f}), this one'
                f' {medians["this"]:.0f} {unit} (least {least["this"]:.0f}):'
                f' {medians["this"] / medians["other"]:.2f}x'
            ),
            flush=True,
        )


def main():
    work = Path(RUN) / 'bench'
    work.mkdir(parents=True)
    guest = start_guest()
    try:
        compare('RAM that is mapped', work, guest.name)
    finally:
        guest.stop()
    name, qemu = start_by_hand(work)
    try:
        compare('RAM that QEMU keeps to itself', work, name)
    finally:
        qemu.kill()
        qemu.wait()
        remove_run()


main()
