"""Runs `furnace` to its end."""

import subprocess

from furnace_testing.places import FURNACE


def furnace(*arguments, check=True, timeout=120, program=FURNACE, **options):
    """Runs `furnace` to its end; the result has returncode, stdout and stderr."""
    result = subprocess.run(
        [program, *map(str, arguments)], capture_output=True, text=True, timeout=timeout, **options
    )
    if check and result.returncode != 0:
        raise AssertionError(
            f'furnace {arguments} ended with {result.returncode}:\n{result.stdout}{result.stderr}'
        )
    return result
