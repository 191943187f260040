"""Snapshots: made by us and by QEMU, in every form; apps run on them as on the live VM."""

import gzip
import json
import struct
import subprocess

import pytest

from furnace_testing import FURNACE, Cloud, eventually, furnace, run_app, run_example, start_guest

MAGIC_LIME = 0x4C694D45
PAGE = 4096


def processes(source):
    return {(p['pid'], p['name'], p['task']) for p in json.loads(furnace('ps', source, '--json').stdout)}


def qemu_dump(vm, path, **arguments):
    vm.qmp('dump-guest-memory', protocol=f'file:{path}', **arguments)
    return path


def as_lime(raw, path, cut=None):
    """A raw dump as LiME writes it, in two ranges."""
    data = raw.read_bytes()
    middle = cut or len(data) // 2 & ~(PAGE - 1)
    with open(path, 'wb') as out:
        for start, part in ((0, data[:middle]), (middle, data[middle:])):
            out.write(struct.pack('<IIQQQ', MAGIC_LIME, 1, start, start + len(part) - 1, 0) + part)
    return path


@pytest.fixture(scope='module')
def snapshots(shared_guest, tmp_path_factory):
    """Every form of one moment of a VM: the VM is paused."""
    directory = tmp_path_factory.mktemp('snapshots')
    shared_guest.qmp('stop')
    try:
        made = {'live': shared_guest.name}
        for name, flags in {
            'elf': [],
            'raw': ['--format', 'raw'],
            'zst': ['--zstd'],
            'raw.zst': ['--format', 'raw', '--zstd'],
        }.items():
            made[name] = directory / f'ours.{name}'
            furnace('vm', 'snapshot', shared_guest.name, made[name], *flags)
        made['qemu'] = qemu_dump(shared_guest, directory / 'qemu', paging=False)
        made['qemu with paging'] = qemu_dump(shared_guest, directory / 'qemu-paging', paging=True)
        made['kdump'] = qemu_dump(shared_guest, directory / 'qemu-kdump', paging=False, format='kdump-zlib')
        made['lime'] = as_lime(made['raw'], directory / 'lime')
        yield made
    finally:
        shared_guest.qmp('cont')


def test_every_form_shows_the_processes_of_the_live_vm(snapshots):
    expected = processes(snapshots['live'])
    assert len(expected) > 20
    for name, source in snapshots.items():
        assert processes(source) == expected, name


def test_raw_snapshots_are_the_guests_memory(snapshots, shared_guest):
    """Byte for byte the file that QEMU keeps the RAM in."""
    assert snapshots['raw'].read_bytes() == (shared_guest.directory / 'ram').read_bytes()
    subprocess.run(
        ['zstd', '-dq', snapshots['raw.zst'], '-o', snapshots['raw'].with_suffix('.unpacked')], check=True
    )
    assert snapshots['raw'].with_suffix('.unpacked').read_bytes() == snapshots['raw'].read_bytes()


def test_snapshots_leave_out_zeros_and_are_private(snapshots):
    status = snapshots['elf'].stat()
    assert status.st_blocks * 512 < status.st_size
    assert status.st_mode & 0o077 == 0
    assert snapshots['zst'].stat().st_size < status.st_size // 3


def test_registers_are_those_of_the_vm(snapshots, work, shared_guest):
    bodies = {}
    for name in ('live', 'elf', 'qemu'):
        cloud = Cloud(work / name, snapshots[name], driver='auto')
        cloud.start_vmi()
        bodies[name] = run_app(
            cloud, "show([fe.get_vcpureg(r, 0) for r in ('rip', 'rsp', 'cr3', 'cr0', 'cr4', 'gs_base')])"
        )
        cloud.stop()
    assert bodies['live'] == bodies['elf'] == bodies['qemu']


def test_the_same_app_runs_on_the_vm_and_on_its_snapshot(snapshots, work):
    printed = {}
    for name in ('live', 'elf', 'zst', 'lime', 'kdump'):
        cloud = Cloud(work / name, snapshots[name], driver='auto')
        cloud.start_vmi()
        printed[name] = run_example(cloud, 'pslist', 'batch') + run_example(cloud, 'open_files')
        cloud.stop()
    assert len(set(printed.values())) == 1


def test_snapshots_can_not_be_written_to(snapshots, work):
    cloud = Cloud(work / 'w', snapshots['elf'], driver='snapshot')
    cloud.start_vmi()
    error, status = run_app(
        cloud,
        """
address = fe.lookup_symbol('init_task')
try:
    fe.checked.write_64_va(address, 0, 1)
except fe.VmiError as e:
    show(str(e))
show([fe.pause_vm(), fe.resume_vm()])
""",
    )
    cloud.stop()
    assert "can't be written to" in error and status == [0, 0]


def test_memory_above_4_gb_and_sparse_files(work):
    """A raw file of 6 GB with the guest's memory at 4 GB and holes around it: found without registers."""
    vm = start_guest(memory=4096)
    try:
        furnace('vm', 'snapshot', vm.name, work / 'big.elf')
        expected = {pid for pid, _, _ in processes(vm.name)}
        assert {pid for pid, _, _ in processes(work / 'big.elf')} >= {1, 2}
        assert len({pid for pid, _, _ in processes(work / 'big.elf')} & expected) > 20
        furnace('vm', 'snapshot', vm.name, work / 'big.raw', '--format', 'raw')
        assert (work / 'big.raw').stat().st_size > 4 << 30
        assert (work / 'big.raw').stat().st_blocks * 512 < 1 << 30
        assert {pid for pid, _, _ in processes(work / 'big.raw')} >= {1, 2}
    finally:
        vm.stop()


def test_a_snapshot_that_is_interrupted_leaves_no_file_and_the_vm_running(own_guest, work):
    import signal

    target = work / 'cut.elf'
    process = subprocess.Popen(
        [FURNACE, 'vm', 'snapshot', own_guest.name, str(target), '--zstd'], stderr=subprocess.PIPE
    )
    eventually(lambda: target.with_name('cut.elf.partial').exists() or process.poll() is not None)
    process.send_signal(signal.SIGINT)
    process.wait(10)
    assert process.returncode in (0, 130)
    if process.returncode != 0:  # it may have been done already
        assert list(work.iterdir()) == []
    eventually(own_guest.running)


def test_a_snapshot_without_room_on_the_disk_fails_with_the_reason(shared_guest):
    result = furnace('vm', 'snapshot', shared_guest.name, '/dev/full/x', check=False)
    assert result.returncode == 1 and '/dev/full/x' in result.stderr
    result = furnace('vm', 'snapshot', 'nosuchvm', '/tmp/x', check=False)
    assert result.returncode == 1 and 'nosuchvm' in result.stderr


def elf_header(**changes):
    fields = dict(
        ident=b'\x7fELF\x02\x01\x01' + bytes(9), type=4, machine=62, phoff=64, phentsize=56, phnum=1
    )
    fields.update(changes)
    return struct.pack(
        '<16sHHIQQQIHHHHHH',
        fields['ident'],
        fields['type'],
        fields['machine'],
        1,
        0,
        fields['phoff'],
        0,
        0,
        64,
        fields['phentsize'],
        fields['phnum'],
        64,
        0,
        0,
    )


def load(offset=120, paddr=0, filesz=16, memsz=16):
    return struct.pack('<IIQQQQQQ', 1, 7, offset, 0, paddr, filesz, memsz, 0)


BAD = {
    'empty': (b'', 'empty'),
    'elf of another machine': (elf_header(machine=183), 'not of an x86-64 guest (machine 183)'),
    'elf that is no core': (elf_header(type=2), 'not a core file (type 2)'),
    'elf cut in its headers': (elf_header(phnum=9) + load(offset=0), 'truncated: no program header'),
    'elf with headers far away': (elf_header(phoff=2**63), 'truncated: no program header'),
    'elf cut in its memory': (
        elf_header() + load(filesz=4096, memsz=4096),
        'truncated: segment 0 takes 4096 bytes',
    ),
    'elf with more file than memory': (
        elf_header() + load(filesz=16, memsz=8) + bytes(16),
        'segment 0 holds 16 bytes of 8',
    ),
    'elf that wraps around': (elf_header() + load(paddr=2**64 - 8) + bytes(16), 'segment 0'),
    'elf of nothing': (elf_header() + load(memsz=0, filesz=0), 'no memory in it'),
    'elf with headers of a wrong size': (elf_header(phentsize=1), 'program headers of 1 bytes'),
    'lime cut in its header': (b'EMiL' + bytes(10), 'truncated: no whole header'),
    'lime of another version': (
        struct.pack('<IIQQQ', MAGIC_LIME, 9, 0, 15, 0) + bytes(16),
        'no header of version 1',
    ),
    'lime cut in its memory': (
        struct.pack('<IIQQQ', MAGIC_LIME, 1, 0, 4095, 0) + bytes(16),
        'truncated: range 0x0 to 0xfff',
    ),
    'lime backwards': (struct.pack('<IIQQQ', MAGIC_LIME, 1, 9, 5, 0), 'range 0x9 to 0x5'),
    'lime without end': (struct.pack('<IIQQQ', MAGIC_LIME, 1, 0, 2**64 - 1, 0), 'range 0x0'),
    'saved vm': (b'LibvirtQemudSave' + bytes(100), '--memory-only'),
    'zstd without a table': (b'\x28\xb5\x2f\xfd' + bytes(100), 'unpack it first (zstd -d)'),
    'gzip': (gzip.compress(b'x' * 1000), 'unpack it first'),
    'kdump of nothing': (b'KDUMP   ' + bytes(8192), 'kdump'),
    'kdump cut': (
        b'makedumpfile\0\0\0\0'
        + struct.pack('>qq', 1, 1)
        + bytes(4096 - 32)
        + struct.pack('>qq', 0, 100)
        + b'x',
        'truncated or damaged',
    ),
    'a profile': (b'{"$CONSTANTS": {}}', 'is it a profile'),
    'no kernel in it': (bytes(1 << 20), 'no kernel found'),
}


@pytest.mark.parametrize('name', BAD)
def test_bad_files_are_refused_by_name(work, name):
    content, expected = BAD[name]
    path = work / 'bad.snapshot'
    path.write_bytes(content)
    result = furnace('ps', path, check=False)
    assert result.returncode == 1
    assert expected in result.stderr, result.stderr
    assert 'bad.snapshot' in result.stderr or name == 'no kernel in it'


def test_a_dump_that_puts_a_byte_far_away_takes_no_room_on_the_host(work):
    """The file that a flattened dump is rearranged in is the host's: it grows no larger than the dump and its
    holes.
    """
    path = work / 'far.kdump'
    path.write_bytes(
        b'makedumpfile\0\0\0\0'
        + struct.pack('>qq', 1, 1)
        + bytes(4096 - 32)
        + struct.pack('>qq', 1 << 40, 1)
        + b'x'
    )
    cloud = Cloud(work / 'c', path, driver='snapshot')
    vmi = cloud.start('vmi', path, '--driver', 'snapshot', '--vmi', cloud.vmi_dir)
    assert vmi.wait_end(20) == 1
    assert 'temporary file for the rearranged dump: File too large' in vmi.log, vmi.log


def test_a_snapshot_that_is_cut_off_while_it_is_served_gives_short_reads(snapshots, work):
    copy = work / 'copy.elf'
    copy.write_bytes(snapshots['elf'].read_bytes())
    cloud = Cloud(work / 'c', copy, driver='snapshot')
    cloud.start_vmi()
    with open(copy, 'r+b') as file:
        file.truncate(1 << 20)
    before, after = run_app(
        cloud, "show(len(fe.read_pa(0x1000, 4096))); show(len(fe.read_pa(64 << 20, 4096)))"
    )
    cloud.stop()
    assert (before, after) == (4096, 0)
