"""Fixtures of all tests, and how the files of tests share the machine."""

import collections
import fcntl
import os
import re
import shutil
import signal
import tempfile
from pathlib import Path

import pytest

from furnace_testing import Cloud, remove_run, start_by_hand, start_guest


def pytest_configure():
    # Who runs the tests in the background of a script ignores SIGINT, and so would the commands that tests
    # interrupt.
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.hookimpl(trylast=True)  # the guests of the session end first, also when it is cut short
def pytest_sessionfinish():
    remove_run()
    if 'PYTEST_XDIST_WORKER' not in os.environ:
        for lock in Path('/tmp').glob('furnace-tests-*.lock'):
            lock.unlink()


# The longest files. test_events has the tests beside which no other may run but those of Xen
# (share_of_the_machine): it runs beside these.
FIRST = ('xen/test_xen.py', 'e2e/test_events.py', 'soak/test_soak.py')


def pytest_collection_modifyitems(items):
    """Begins with the longest files, so that no CPU is idle at the end."""

    def rank(item):
        file = str(item.path.relative_to(Path(__file__).parent))
        return FIRST.index(file) if file in FIRST else len(FIRST)

    items.sort(key=rank)


def pytest_terminal_summary(terminalreporter):
    """What was skipped, by reason: a skip is no success."""
    reasons = collections.Counter(
        str(report.longrepr[2]).removeprefix('Skipped: ')
        for report in terminalreporter.stats.get('skipped', [])
    )
    if reasons:
        terminalreporter.section('skipped, by reason')
        for reason, count in sorted(reasons.items(), key=lambda each: (-each[1], each[0])):
            terminalreporter.write_line(f'{count:>5}  {reason}')


@pytest.fixture(autouse=True)
def share_of_the_machine(request):
    """With pytest -n, a test on a guest of several vCPUs runs while no other does, for want of CPUs. Tests on
    a Xen host are the exception: it runs all the time."""
    run = os.environ.get('PYTEST_XDIST_TESTRUNUID')
    if run is None or request.node.path.parent.name == 'xen':
        yield
        return
    with open(f'/tmp/furnace-tests-{run}.lock', 'w') as lock:
        alone = re.search(r'-[2-9]cpu', request.node.name)
        fcntl.flock(lock, fcntl.LOCK_EX if alone else fcntl.LOCK_SH)
        yield


@pytest.fixture(scope='session')
def shared_guest():
    """A guest (6.1, 1 vCPU) that all tests share: a test leaves it running and as it was."""
    vm = start_guest()
    yield vm
    vm.stop()


@pytest.fixture
def own_guest():
    """A guest (6.1, 1 vCPU) of this test only, which it may ruin."""
    vm = start_guest()
    yield vm
    try:
        vm.stop()
    except AssertionError:
        pass


@pytest.fixture(scope='module')
def one_socket_vm(tmp_path_factory):
    """The name of a VM that this module shares: its RAM is private to QEMU, and it has one QMP socket."""
    name, qemu = start_by_hand(tmp_path_factory.mktemp('hand'))
    yield name
    qemu.kill()
    qemu.wait()


@pytest.fixture
def work():
    """A directory of this test; its path is short enough for sockets."""
    path = tempfile.mkdtemp(prefix='furnace-e2e-', dir='/tmp')
    yield Path(path)
    shutil.rmtree(path, ignore_errors=True)


@pytest.fixture
def cloud(work, shared_guest):
    """A Cloud on shared_guest. No partition runs yet."""
    made = Cloud(work, shared_guest.name)
    yield made
    made.stop()


@pytest.fixture
def vm_cloud(work, vm):
    """A Cloud on the guest of the module's own fixture `vm`. No partition runs yet."""
    made = Cloud(work, vm.name)
    yield made
    made.stop()


@pytest.fixture
def serving_cloud(vm_cloud):
    """A vm_cloud whose VMI partition runs."""
    vm_cloud.start_vmi()
    return vm_cloud


@pytest.fixture
def sim_cloud(work):
    """A Cloud on the simulator's own guest, which never changes. No partition runs yet."""
    made = Cloud(work, 'sim', driver='simulator')
    yield made
    made.stop()


@pytest.fixture
def described_cloud(work):
    """A function that makes a Cloud on a guest that its argument describes in TOML. No partition runs yet."""
    made = []

    def make(description):
        path = work / 'guest.toml'
        path.write_text(description)
        made.append(Cloud(work, path, driver='simulator'))
        return made[-1]

    yield make
    for cloud in made:
        cloud.stop()
