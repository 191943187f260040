"""A guest is not harmed by being watched: tests/soak, some minutes for each kernel and number of vCPUs."""

import os
import sys
import time
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parent))
from soak import Soak  # noqa: E402

SECONDS = float(os.environ.get('FURNACE_SOAK_SECONDS', 600)) / 6


# Ids without "-2cpu": a soak shares the machine with other tests, which makes its timing as bad as it gets.
@pytest.mark.parametrize('kernel', ['6.1', '6.12'])
@pytest.mark.parametrize('cpus', [1, 2, 4], ids=lambda cpus: f'smp{cpus}')
def test_a_guest_that_is_watched_and_whose_watchers_are_killed_lives_on(kernel, cpus):
    seed = os.environ.get('FURNACE_SOAK_SEED', str(time.time_ns()))
    soak = Soak(kernel, cpus, seed)
    try:
        soak.run(SECONDS)
        assert soak.kills > 0 and soak.events, 'nothing was killed, or nothing seen'
    except AssertionError as error:
        raise AssertionError(f'FURNACE_SOAK_SEED={seed}: {error}') from None
    finally:
        soak.stop()
