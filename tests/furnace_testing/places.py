"""Where things are: the tree, its build, and the directory of this run."""

import os
import shutil
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
BUILD = Path(os.environ.get('FURNACE_BUILD', ROOT / 'build'))
FURNACE = BUILD / 'bin' / 'furnace'
APPS = ROOT / 'tests' / 'apps'

# The files of a run are removed with it; kernels and profiles stay with the build.
RUN = tempfile.mkdtemp(prefix='furnace-run-', dir='/tmp')
os.environ['FURNACE_RUN'] = RUN
os.environ.setdefault('FURNACE_CACHE', str(BUILD / 'cache'))


def remove_run():
    """Removes the files of this run, after the last of its guests has stopped."""
    shutil.rmtree(RUN, ignore_errors=True)
