#!/usr/bin/python3
"""Watches a guest that checks its own work, in rounds: random kinds of events, and an app, a partition or a
guard that is killed at random. Fails when the guest hangs, its kernel complains, or one of its sums is wrong.

Usage: soak.py [--minutes N] [--kernels 6.1,6.12] [--cpus 1,2,4] [--seed N]
"""

import argparse
import contextlib
import json
import os
import random
import re
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))
from furnace_testing import APPS, Cloud, eventually, furnace, partition_of, start_guest  # noqa: E402

COMPLAINTS = re.compile(
    r'BUG:|Oops|general protection|soft lockup|hard LOCKUP|rcu.*stall|Kernel panic|segfault|traps:|invalid'
    r' opcode'
)
LOCKED = bytes.fromhex('f0480fb1')  # lock cmpxchg, as the workload takes its lock by


def build_workload():
    """The workload's binary, and the address of its lock cmpxchg."""
    with tempfile.TemporaryDirectory() as work:
        binary = Path(work) / 'workload'
        subprocess.run(
            [
                'gcc',
                '-O1',
                '-s',
                '-static',
                '-nostdlib',
                '-fno-stack-protector',
                '-no-pie',
                '-fno-tree-loop-distribute-patterns',
                '-o',
                binary,
                HERE / 'workload.c',
            ],
            check=True,
        )
        content = binary.read_bytes()
        headers = subprocess.run(
            ['readelf', '-lW', binary], check=True, capture_output=True, text=True
        ).stdout
    offset, address = (
        int(number, 16) for number in re.search(r'LOAD +(\S+) (\S+) \S+ \S+ \S+ R E', headers).groups()
    )
    return content, address + content.index(LOCKED) - offset


class Soak:
    """A guest with its workload, and rounds of watching it."""

    def __init__(self, kernel, cpus, seed):
        self.random = random.Random(f'{seed}-{kernel}-{cpus}')
        self.guest = start_guest(kernel, cpus=str(cpus))
        self.guest.give_up_after(30)
        self.kills = self.rounds = 0
        self.events = {}
        binary, self.locked = build_workload()
        self.guest.push('/tmp/workload', binary)
        self.guest.run(
            f'chmod +x /tmp/workload; (setsid /tmp/workload {max(2, cpus)} > /tmp/out 2>&1 < /dev/null &)'
        )
        said = eventually(lambda: self._said(max(2, cpus)), what='the workload')
        self.page, self.workers = int(said[0][1]), [int(pid) for word, pid in said if word == 'worker']

    def _said(self, workers):
        said = re.findall(r'(page|worker) (\d+)', self.guest.run('cat /tmp/out'))
        return said if len(said) == workers + 1 else None

    def choose_kinds(self):
        worker = self.random.choice(self.workers)
        kinds = [
            'REG',
            'SYSCALL',
            'SYSCALLS',
            'SYSCALL+',
            'CREATED',
            'EXECUTED',
            'EXITED',
            'CREDENTIALS',
            'MODULE',
            'MEM:jiffies',
            'INT:do_sys_openat2',
            'INT:wake_up_new_task',
            {'event_type': 'MEM', 'addr': self.page, 'length': 8, 'access': 'w', 'pid': worker},
            {'event_type': 'MEM', 'addr': self.page, 'length': 64, 'access': 'rw', 'pid': worker},
            {'event_type': 'INT', 'bp_addr': self.locked, 'bp_pid': worker},
        ]
        return self.random.sample(kinds, self.random.randint(1, 5))

    def run_round(self, end=None):
        """Watches for some seconds and lets something die; returns what was watched and how it ended."""
        self.rounds += 1
        kinds = self.choose_kinds()
        asked = {'kinds': kinds, 'sync': self.random.random() < 0.3, 'seconds': self.random.uniform(1, 3)}
        flags = self.random.choice([[], [], ['--events-by', 'breakpoints'], ['--events-by', 'writes']])
        end = end or self.random.choice(
            [
                self.let_end,
                self.kill_app,
                self.kill_partition,
                self.kill_guard,
                self.kill_broker,
                self.kill_all,
                self.kill_launcher,
            ]
        )
        with tempfile.TemporaryDirectory(prefix='furnace-soak-', dir='/tmp') as work:
            cloud = Cloud(Path(work), self.guest.name)
            try:
                vmi = cloud.start_vmi(*flags)
                app = cloud.start_app(APPS / 'soak', json.dumps(asked))
                app.wait_out('watching', 30)
                time.sleep(self.random.uniform(0, 2))
                end(vmi, app)
            except (AssertionError, subprocess.TimeoutExpired) as error:
                raise AssertionError(
                    f'{asked} {flags} {end.__name__}: {error}\n' + '\n'.join(p.log for p in cloud.processes)
                ) from None
            finally:
                cloud.stop()
        return asked, flags, end.__name__

    def let_end(self, vmi, app):
        assert app.wait_end(15) == 0, app.log
        for name, (seen, lost) in json.loads(app.out.splitlines()[-1]).items():
            before = self.events.get(name, (0, 0))
            self.events[name] = (before[0] + seen, before[1] + lost)

    def kill_app(self, vmi, app):
        app.stop(signal.SIGKILL)
        self.kills += 1

    def kill_launcher(self, vmi, app):
        vmi.stop(signal.SIGKILL)
        self.kills += 1

    def kill_partition(self, vmi, app):
        subprocess.run(['kill', '-9', str(partition_of(vmi.pid))], check=True)
        self.kills += 1
        vmi.wait_end(10)

    def guard_of(self, vmi):
        guards = subprocess.run(
            ['pgrep', '-x', '-P', str(vmi.pid), 'furnace-guard'], capture_output=True, text=True
        ).stdout.split()
        assert guards, 'the partition has no guard'
        return guards[0]

    def kill_broker(self, vmi, app):
        """Its guard lets go of the guest; the partition ends."""
        subprocess.run(['pkill', '-9', '-x', '-P', str(vmi.pid), 'furnace-broker'], check=True)
        vmi.wait_end(30)
        assert 'guard process' in vmi.log
        self.kills += 1

    def kill_guard(self, vmi, app):
        """Without its guard the partition lets go of the guest and ends."""
        subprocess.run(['kill', '-9', self.guard_of(vmi)], check=True)
        self.kills += 1
        assert vmi.wait_end(10) != 0
        assert 'guard process' in vmi.log

    def kill_all(self, vmi, app):
        """Nobody is left who could free the guest: the next one who attaches does."""
        program = partition_of(vmi.pid)
        subprocess.run(['pkill', '-9', '-x', '-P', str(vmi.pid), 'furnace-(guard|broker)'], check=True)
        with contextlib.suppress(ProcessLookupError):  # it ends by itself once its broker is gone
            os.kill(program, signal.SIGKILL)
        self.kills += 3
        vmi.wait_end(10)
        furnace('ps', self.guest.name)

    def check_alive(self, what):
        """The guest answers its console; a hang is an error that names what was watched."""
        try:
            self.guest.run('true')
        except (TimeoutError, AssertionError) as error:
            state = self.guest.qmp('query-status'), self.guest.qmp('query-chardev')
            registers = self.guest.qmp('human-monitor-command', **{'command-line': 'info registers -a'})
            rips = re.findall(r'RIP=\S+ RFL=\S+|HLT=\d|CR3=\S+', registers)
            raise AssertionError(f'the guest hangs after {what}: {error}; {state} {rips}') from error
        complaints = COMPLAINTS.search(self.guest.run('dmesg | tail -n 50'))
        assert not complaints, f'{what}: {self.guest.run("dmesg | tail -n 50")}'

    def finish(self):
        """Ends the workload; its own account of what it did."""
        self.guest.run('touch /tmp/stop')
        said = eventually(
            lambda: re.search(
                r'rounds (\d+) wrong (\d+) counter (\d+) added (\d+)', self.guest.run('cat /tmp/out')
            ),
            30,
            'end of the workload',
        )
        rounds, wrong, counter, added = map(int, said.groups())
        assert wrong == 0 and counter == added == 200 * rounds and rounds > 0, said[0]
        return rounds

    def run(self, seconds):
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            self.check_alive(self.run_round())
        while not self.events:  # every round was cut short by chance
            self.check_alive(self.run_round(self.let_end))
        return self.finish()

    def stop(self):
        self.guest.stop()


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        '--minutes', type=float, default=60, help='for each pair of kernel and number of vCPUs'
    )
    parser.add_argument('--kernels', default='6.1,6.12')
    parser.add_argument('--cpus', default='1,2,4')
    parser.add_argument('--keep', action='store_true', help='leave the guest of a failure running')
    parser.add_argument('--seed', default=str(time.time_ns()))
    options = parser.parse_args()
    print(f'seed {options.seed}', flush=True)
    for kernel in options.kernels.split(','):
        for cpus in map(int, options.cpus.split(',')):
            soak = Soak(kernel, cpus, options.seed)
            try:
                done = soak.run(60 * options.minutes)
                print(
                    (
                        f'{kernel}, {cpus} vCPUs: {soak.rounds} rounds, {soak.kills} kills, the workload did'
                        f' {done} rounds, none wrong; events and lost: {json.dumps(soak.events)}'
                    ),
                    flush=True,
                )
                soak.stop()
            except AssertionError:
                if not options.keep:
                    soak.stop()
                raise


if __name__ == '__main__':
    main()
