#!/usr/bin/python3
"""Starts a guest, a VMI partition and an app in random orders and at random moments, and looks whether events
come.

Usage: starts.py [--times N] [--kernel 6.1] [--cpus N] [--seed N]
Fails at the first start after which the guest makes calls that the app is not told of.
"""

import argparse
import random
import signal
import sys
import time
import uuid
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))
from furnace_testing import APPS, RUN, Cloud, eventually, remove_run, start_guest  # noqa: E402

KINDS = [
    'SYSCALL:execve',
    'PROCESS_EXECUTED',
    'SYSCALL:execve PROCESS_EXECUTED',
    'PROCESS_CREATED SYSCALL:execve',
    'SYSCALL:execve REG',
]


class Starts:
    def __init__(self, kernel, cpus, seed):
        self.random = random.Random(f'{seed}-{kernel}-{cpus}')
        self.guest = start_guest(kernel, cpus=str(cpus))
        self.work = Path(RUN) / 'starts'
        self.rounds = 0

    def one(self, cloud):
        """Everything in some order, then three programs: was the app told of one?"""
        apps = []
        kinds = self.random.choice(KINDS)
        steps = {
            'guest': lambda: self.guest.qmp('system_reset'),
            'partition': lambda: cloud.start('vmi', cloud.vm, '--driver', 'qemu', '--vmi', cloud.vmi_dir),
            'app': lambda: apps.append(cloud.start_app(APPS / 'starts', metadata=kinds)),
        }
        order = self.random.sample(list(steps), 3)
        if self.random.random() < 0.3:
            order.remove('guest')  # it has booted long ago
        self.told = f'round {self.rounds}: {" ".join(order)}; {kinds}'
        for step in order:
            steps[step]()
            time.sleep(self.random.choice([0, 0.05, 0.3, 1, 3]) * self.random.random())
        self.guest.meet_the_shell()
        (app,) = apps
        eventually(
            lambda: 'watching' in app.out,
            20,
            f'{self.told}: the app to watch: {app.out[-500:]} {app.log[-1000:]}',
        )
        app.out_file.write_text('')
        for _ in range(3):
            self.guest.run('/bin/busybox true; (exec cat /proc/self/comm) > /dev/null')
        eventually(
            lambda: 'event' in app.out,
            10,
            (
                f'{self.told}: an event; the app: {app.out[-500:]} {app.log[-1000:]}; '
                f'the partition: {[each.log[-2000:] for each in cloud.processes]}'
            ),
        )

    def run(self, times):
        for self.rounds in range(times):
            cloud = Cloud(self.work / uuid.uuid4().hex[:6], self.guest.name)
            try:
                self.one(cloud)
            finally:
                for each in cloud.processes:
                    each.stop(self.random.choice([signal.SIGTERM, signal.SIGKILL]))
                cloud.stop()
            if self.rounds % 10 == 9:
                print(f'{self.rounds + 1} starts', flush=True)

    def stop(self):
        self.guest.stop()


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('--times', type=int, default=500)
    parser.add_argument('--kernel', default='6.1')
    parser.add_argument('--cpus', type=int, default=2)
    parser.add_argument('--seed', default=str(time.time_ns()))
    options = parser.parse_args()
    print(f'seed {options.seed}', flush=True)
    starts = Starts(options.kernel, options.cpus, options.seed)
    try:
        starts.run(options.times)
    finally:
        starts.stop()
        remove_run()


if __name__ == '__main__':
    main()
