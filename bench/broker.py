"""What the broker costs: reads and events of a confined VMI partition beside those of one that holds QEMU
itself.

Usage: broker.py [BUILD]  (after a build; starts its own VMs; BUILD: another build, to be compared as well)
"""

import json
import statistics
import sys
import uuid
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / 'tests'))
from furnace_testing import BUILD, RUN, Cloud, remove_run, run_app, start_by_hand, start_guest  # noqa: E402

ROUNDS = 3
READS = '''
address = fe.translate_ksym2v('init_task')
piece = 4 << 20
def best(count, call):
    taken = []
    for _ in range(count):
        start = time.perf_counter()
        call()
        taken.append(time.perf_counter() - start)
    return sorted(taken)[count // 2]
show({
    'read_64_va': best(2000, lambda: fe.read_64_va(address, 0)) * 1e6,
    'read_pa of 4 MiB': piece / best(30, lambda: fe.read_pa(16 << 20, piece)) / 1e9,
    'process_list': best(50, fe.process_list) * 1e6,
})
'''
EVENTS = '''
import fe, json, time
class App:
    def __init__(self, ctx):
        self.count = 0
        fe.event_register({'event_type': fe.SYSCALL, 'callback': self.tell})
        fe.events_start()
        self.start = time.monotonic()
        fe.event_register({'event_type': fe.TIMER, 'time_value': 4.0, 'callback': self.end})
    def tell(self, event):
        self.count += 1
    def end(self, ctx):
        print(json.dumps({'system calls': self.count / (time.monotonic() - self.start)}), flush=True)
        fe.exit()
'''
UNITS = {'read_64_va': 'us', 'read_pa of 4 MiB': 'GB/s', 'process_list': 'us', 'system calls': 'events/s'}


def measure(build, work, vm, flags, events):
    cloud = Cloud(work / uuid.uuid4().hex[:4], vm, program=build / 'bin' / 'furnace')
    try:
        cloud.start_vmi(*flags)
        found = run_app(cloud, READS)[0]
        if events:
            app = cloud.start_app(EVENTS)
            assert app.wait_end(30) == 0, app.log
            found |= json.loads(app.out)
        return found
    finally:
        cloud.stop()


def compare(title, work, vm, events):
    kinds = {'holds QEMU itself': (BUILD, ['--unconfined']), 'asks the broker': (BUILD, [])}
    if len(sys.argv) > 1:
        kinds['other build, confined'] = (Path(sys.argv[1]), [])
    figures = {kind: [] for kind in kinds}
    for _ in range(ROUNDS):
        for kind, (build, flags) in kinds.items():
            figures[kind].append(measure(build, work, vm, flags, events))
    print(f'{title}:')
    for what, unit in UNITS.items():
        if what in figures['asks the broker'][0]:
            middle = {
                kind: statistics.median(each[what] for each in rounds) for kind, rounds in figures.items()
            }
            print(
                f'  {what}: ' + ', '.join(f'{kind} {value:.4g} {unit}' for kind, value in middle.items()),
                flush=True,
            )


def main():
    work = Path(RUN) / 'bench'
    work.mkdir(parents=True)
    guest = start_guest()
    try:
        name, qemu = start_by_hand(work)
        try:
            compare('RAM that QEMU keeps to itself', work, name, False)
        finally:
            qemu.kill()
            qemu.wait()
        guest.run('(while :; do cat /proc/self/stat; done) > /dev/null 2>&1 & true')
        compare('RAM that is mapped, a busy guest', work, guest.name, True)
    finally:
        guest.stop()
        remove_run()


main()
