"""QEMU as others start it: several memory backends, files of one inode number, other machines and
monitors.
"""

import json
import subprocess

import pytest

from furnace_testing import furnace, start_by_hand
from furnace_testing.bare_qemu import Monitor

HALF = 128 << 20


def ram(kind, *names):
    """Two memory backends, a NUMA node each."""
    words = []
    for name, more in zip('ab', names or ('', '')):
        words += ['-object', f'{kind},id={name},size={HALF}{more}', '-numa', f'node,memdev={name}']
    return words


@pytest.fixture
def two_mounts(tmp_path):
    """Two file systems whose first files have the same inode number."""
    mounts = [tmp_path / name for name in 'xy']
    for mount in mounts:
        mount.mkdir()
        subprocess.run(['mount', '-t', 'tmpfs', '-o', 'inode64', 'none', mount], check=True)
        (mount / 'ram').write_bytes(b'')
    assert len({(mount / 'ram').stat().st_ino for mount in mounts}) == 1
    yield mounts
    for mount in mounts:
        subprocess.run(['umount', '-l', mount], check=True)


def check(work, name, *further):
    """Processes are listed, and a snapshot has what QEMU itself says of the guest's memory: 256 MB and
    `further` ranges.
    """
    listed = {process['name'] for process in json.loads(furnace('ps', name, '--json').stdout)}
    assert {'init', 'kthreadd'} <= listed
    # Between these two are the video card's memory and the firmware.
    ranges = [(0, 0xA0000), (0x100000, 2 * HALF), *further]
    monitor = Monitor(work / 'qmp')
    assert 'return' in monitor.ask('stop')
    for number, (start, end) in enumerate(ranges):
        saved = monitor.ask('pmemsave', val=start, size=end - start, filename=f'{work}/{number}')
        assert 'return' in saved, saved
    monitor.close()
    furnace('vm', 'snapshot', name, work / 'raw', '--format', 'raw')
    assert (work / 'raw').stat().st_size == ranges[-1][1]
    with open(work / 'raw', 'rb') as raw:
        for number, (start, end) in enumerate(ranges):
            raw.seek(start)
            assert raw.read(end - start) == (work / str(number)).read_bytes(), (hex(start), hex(end))


FORMS = {
    'private': ram('memory-backend-ram'),
    'private and memfd': ram('memory-backend-memfd', ',share=off', ',share=on'),
    'a DIMM': [
        *('-m', '256,slots=2,maxmem=1G', '-object', f'memory-backend-ram,id=dimm,size={HALF}'),
        *('-device', 'pc-dimm,memdev=dimm'),
    ],
}


@pytest.mark.parametrize('form', FORMS)
def test_all_of_its_memory_is_seen(work, form):
    name, qemu = start_by_hand(work, *FORMS[form])
    try:
        check(work, name, *([(4 << 30, (4 << 30) + HALF)] if form == 'a DIMM' else []))
    finally:
        qemu.kill()
        qemu.wait()


def test_files_of_one_inode_number_are_two(work, two_mounts):
    files = [f',share=on,mem-path={mount}/ram' for mount in two_mounts]
    name, qemu = start_by_hand(work, *ram('memory-backend-file', *files))
    try:
        check(work, name)
    finally:
        qemu.kill()
        qemu.wait()


@pytest.mark.parametrize('machine', ['pc-i440fx-2.8', 'pc-q35-3.0'])
def test_old_machines_with_a_monitor_that_prints_prettily(work, machine):
    name, qemu = start_by_hand(work, monitor='-qmp-pretty', machine=machine)
    try:
        check(work, name)
    finally:
        qemu.kill()
        qemu.wait()
