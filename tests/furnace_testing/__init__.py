"""What tests, soak and benchmarks share: real binaries, real guests under QEMU, and the partitions of an app.

Fixtures made of these are in tests/conftest.py; `pytest --fixtures` prints them.
"""

from furnace_testing.commands import furnace
from furnace_testing.guests import Guest, a_module, start_by_hand, start_guest
from furnace_testing.kernels import KERNELS
from furnace_testing.partitions import APP, Cloud, free_port, run_app, run_example
from furnace_testing.places import APPS, BUILD, FURNACE, ROOT, RUN, remove_run
from furnace_testing.processes import Process, partition_of, resident_mb
from furnace_testing.waiting import PATIENCE, eventually

__all__ = [
    'APP',
    'APPS',
    'BUILD',
    'FURNACE',
    'KERNELS',
    'PATIENCE',
    'ROOT',
    'RUN',
    'Cloud',
    'Guest',
    'Process',
    'a_module',
    'eventually',
    'free_port',
    'furnace',
    'partition_of',
    'remove_run',
    'resident_mb',
    'run_app',
    'run_example',
    'start_by_hand',
    'start_guest',
]
