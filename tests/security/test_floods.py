"""Apps that flood the sockets of their partitions: each partition lives on inside its real limit of memory,
and a neighbour is served.

FURNACE_FLOOD_SECONDS (3) is how long each flood lasts."""

import os
import re
import statistics
import subprocess
import sys
from pathlib import Path

import pytest

from flood import KINDS
from furnace_testing import APP, Cloud, eventually, partition_of
from furnace_testing.neighbour import latencies, start_neighbour

SECONDS = float(os.environ.get('FURNACE_FLOOD_SECONDS', '3'))
ATTACKERS = 8
NOISE = 0.0005  # seconds that a read may take on a machine that does other things as well


def flood(kind, path, name):
    """Eight apps at once, until they have ended."""
    script = Path(__file__).with_name('flood.py')
    return [
        subprocess.Popen(
            ['nice', sys.executable, script, kind, path, f'{name}{i}-r', str(SECONDS)],
            stdout=subprocess.PIPE,
            text=True,
        )
        for i in range(ATTACKERS)
    ]


@pytest.fixture(scope='module')
def place(tmp_path_factory, shared_guest):
    """A VMI partition and a neighbour, which this file floods."""
    work = Path(f'/tmp/furnace-floods-{os.getpid()}')
    work.mkdir()
    made = Cloud(work, shared_guest.name)
    made.vmi = made.start_vmi()
    start_neighbour(made)
    eventually(lambda: len(latencies(made)) > 20, 20, 'the neighbour')
    yield made
    made.stop()
    subprocess.run(['rm', '-rf', work], check=True)


def peak_mb(pid):
    return int(re.search(r'VmHWM:\s+(\d+)', Path(f'/proc/{pid}/status').read_text())[1]) / 1024


def look(place, kind, socket, partition):
    """Floods the partition's socket beside a neighbour of the place."""
    quiet = statistics.median(usual for usual, _ in latencies(place)[-15:])
    before = len(latencies(place))
    attackers = flood(kind, socket, f'flood-{kind}-')
    rounds = [int(attacker.communicate()[0]) for attacker in attackers]
    assert all(rounds), rounds
    during = statistics.median(usual for usual, _ in latencies(place)[before:])
    print(
        f'\n    {kind}: {quiet * 1e6:.0f} us quiet, {during * 1e6:.0f} us flooded, rounds {rounds}, '
        f'peak {peak_mb(partition_of(partition.pid)):.0f} MB'
    )
    assert partition.process.poll() is None, partition.log
    assert place.neighbour.process.poll() is None, place.neighbour.log
    assert during < 10 * max(quiet, NOISE)
    eventually(
        lambda: statistics.median(usual for usual, _ in latencies(place)[-5:]) < 3 * quiet, 10, 'quiet again'
    )


@pytest.mark.parametrize('kind', KINDS)
def test_the_vmi_partition_lives_on_and_serves_a_neighbour(place, kind):
    look(place, kind, f'{place.vmi_dir}/vmi_rtr', place.vmi)


@pytest.fixture(scope='module')
def facilities(tmp_path_factory):
    """A FAC partition and a neighbour, which this file floods."""
    work = Path(f'/tmp/furnace-fac-floods-{os.getpid()}')
    work.mkdir()
    made = Cloud(work, 'sim', driver='simulator')
    made.vmi, made.fac = made.start_vmi(), made.start_fac()
    start_neighbour(made, 'storage', APP)
    eventually(lambda: len(latencies(made)) > 20, 20, 'the neighbour')
    yield made
    made.stop()
    subprocess.run(['rm', '-rf', work], check=True)


@pytest.mark.parametrize('kind', KINDS)
def test_the_fac_partition_lives_on_and_serves_a_neighbour(facilities, kind):
    look(facilities, kind, f'{facilities.fac_dir}/fac_rtr', facilities.fac)
