"""Profiles: every form of one kernel gives the same answers, held against the guest and pahole."""

import base64
import collections
import gzip
import json
import lzma
import random
import re
import subprocess

import pytest

from furnace_testing import furnace, run_app

FORMATS = ('rekall', 'isf', 'json.xz', 'json.gz', 'json.zst', 'furnace', 'system-map')
LINKED_TEXT = 0xFFFFFFFF81000000


@pytest.fixture(scope='module')
def profiles(shared_guest, tmp_path_factory):
    """The kernel's profile in every form: {name: arguments for `furnace profile`}."""
    directory = tmp_path_factory.mktemp('profiles')
    files = {}
    for name in FORMATS:
        kind = 'isf' if name.startswith('json') else name
        files[name] = [directory / f'kernel.{name}']
        furnace('profile', 'export', shared_guest.name, '--format', kind, '-o', files[name][0])
    furnace('profile', 'export', shared_guest.name, '--format', 'btf', '-o', directory / 'kernel.btf')
    files['system-map'] += ['--btf', directory / 'kernel.btf']
    packed = shared_guest.run('gzip -1c /proc/kallsyms | base64')  # the serial line is slow
    (directory / 'kallsyms').write_bytes(gzip.decompress(base64.b64decode(packed)))
    files['kallsyms'] = [directory / 'kallsyms', '--btf', directory / 'kernel.btf']
    return files


def symbols(arguments):
    """{name: linked address}, by the exporter; the types' letters are left out: not every form has them."""
    text = furnace('profile', 'export', *arguments, '--format', 'system-map').stdout
    return {name: int(address, 16) for address, _, name in (line.split(' ', 2) for line in text.splitlines())}


@pytest.mark.parametrize('name', [*FORMATS, 'kallsyms'])
def test_every_form_has_the_symbols_of_the_running_kernel(profiles, shared_guest, name):
    expected = symbols([shared_guest.name])
    assert len(expected) > 50_000
    found = symbols(profiles[name])
    if name == 'kallsyms':  # the guest's own view lists what it made since boot too, and repeats local names
        found = {symbol: address for symbol, address in found.items() if symbol in expected}
    assert found == expected


@pytest.mark.parametrize('name', [*FORMATS, 'kallsyms'])
def test_every_form_has_the_members_that_pahole_finds(profiles, shared_guest, name):
    """2,000 members, sampled from pahole's reading of the kernel's BTF."""
    btf = profiles['system-map'][2]
    text = subprocess.run(
        ['pahole', '-F', 'btf', '--suppress_aligned_attribute', btf], capture_output=True, text=True
    ).stdout
    members = set()
    structures = re.findall(r'^struct (\w+) \{\n(.*?)^\};?', text, re.M | re.S)
    # A name that several source files use for structures of their own says nothing.
    times = collections.Counter(name for name, _ in structures)
    for structure, body in structures:
        if times[structure] > 1:
            continue
        for line in body.splitlines():
            match = re.match(r'\t(?!\t)[^/]*?\b(\w+)(?:\[\d+\])*(?:\[\d+\])*;\s+/\*\s+(\d+)\s+\d+ \*/', line)
            if match:
                members.add((structure, match[1], int(match[2])))
    names = [structure for structure, member, _ in members]
    chosen = random.Random(1).sample(sorted(members), 2000)
    things = [f'{structure}.{member}' for structure, member, _ in chosen]
    shown = furnace('profile', 'show', profiles[name][0], *profiles[name][1:], *things).stdout
    assert dict(line.split(': ') for line in shown.splitlines()) == {
        f'{structure}.{member}': str(offset) for structure, member, offset in chosen
    }
    assert len(set(names)) > 1000


def test_the_types_are_the_guests_own(profiles, shared_guest):
    """The BTF that was exported is byte for byte what the guest shows of itself."""
    digest = subprocess.run(
        ['sha256sum', profiles['system-map'][2]], capture_output=True, text=True
    ).stdout.split()[0]
    assert shared_guest.run('sha256sum /sys/kernel/btf/vmlinux').split()[0] == digest


def test_a_vmlinux_gives_types_for_a_system_map(profiles, shared_guest, work):
    """The kernel's ELF file, compiled here with a .BTF section: objcopy puts the guest's types into one."""
    (work / 'empty.c').write_text('int main_symbol; int _text; ')
    subprocess.run(['gcc', '-c', '-o', work / 'object.o', work / 'empty.c'], check=True)
    subprocess.run(
        [
            'objcopy',
            '--add-section',
            f'.BTF={profiles["system-map"][2]}',
            work / 'object.o',
            work / 'vmlinux',
        ],
        check=True,
    )
    shown = furnace(
        'profile', 'show', profiles['system-map'][0], '--btf', work / 'vmlinux', 'task_struct.mm'
    ).stdout
    assert shown == furnace('profile', 'show', shared_guest.name, 'task_struct.mm').stdout


@pytest.mark.parametrize('name', [*FORMATS, 'kallsyms'])
def test_file_profiles_find_the_running_kernel(cloud, shared_guest, profiles, name):
    """KASLR is worked out for profiles of files too: same symbols, same processes."""
    file, *types = profiles[name]
    cloud.start_vmi('--profile', file, *types).wait_log('kernel: ')
    address, processes = run_app(
        cloud, "show(fe.checked.lookup_symbol('init_task')); show(sorted(fe.checked.process_list()))"
    )
    kallsyms = shared_guest.run("grep ' init_task$' /proc/kallsyms")
    assert address == int(kallsyms.split()[0], 16)
    assert 1 in processes and len(processes) > 20


def test_exports_are_laid_out_as_their_readers_expect(profiles):
    rekall = json.loads(profiles['rekall'][0].read_text())
    size, members = rekall['$STRUCTS']['task_struct']
    assert isinstance(size, int) and isinstance(members['comm'][0], int) and members['comm'][1][0] == 'Array'
    assert rekall['$CONSTANTS']['_text'] == LINKED_TEXT & ((1 << 48) - 1)  # as Rekall has addresses
    assert rekall['$CONSTANTS']['phys_startup_64'] == 0x1000000  # as System.map has it
    assert rekall['$METADATA']['ProfileClass'] == 'Linux'
    isf = json.loads(lzma.open(profiles['json.xz'][0]).read())
    assert isf['metadata']['format'] == '6.2.0' and {'name', 'version'} <= isf['metadata']['producer'].keys()
    task = isf['user_types']['task_struct']
    assert task['kind'] == 'struct' and task['fields']['mm']['type']['kind'] == 'pointer'
    assert task['fields']['mm']['offset'] == members['mm'][0]
    assert isf['symbols']['init_task']['type'] == {'kind': 'struct', 'name': 'task_struct'}
    assert set(isf['base_types']['unsigned int']) == {'size', 'signed', 'kind', 'endian'}

    # Every type that is named is defined: a reader that resolves them all finds them.
    def named(value):
        if isinstance(value, dict):
            if value.get('kind') in ('struct', 'union', 'enum', 'base') and 'name' in value:
                yield value['kind'], value['name']
            for inner in value.values():
                yield from named(inner)

    places = {'struct': 'user_types', 'union': 'user_types', 'enum': 'enums', 'base': 'base_types'}
    undefined = {name for kind, name in set(named(isf['user_types'])) if name not in isf[places[kind]]}
    assert undefined == set()


def test_an_empty_profile_means_find_it_in_ram(cloud, work):
    (work / 'rekall.json').write_text('')
    cloud.start_vmi('--profile', work / 'rekall.json').wait_log('kernel: Linux version')


def test_the_profile_of_another_kernel_is_never_used(cloud, work, profiles):
    """Same form, other kernel: both are named, and calls that need a kernel fail."""
    isf = json.loads(profiles['isf'][0].read_text())
    for symbol in isf['symbols'].values():
        if symbol['address'] > LINKED_TEXT + 0x1000:
            symbol['address'] += 0x40
    (work / 'other.json').write_text(json.dumps(isf))
    cloud.start_vmi('--profile', work / 'other.json').wait_log(
        "wrong profile: it is of 'Linux version .*the guest runs 'Linux version"
    )
    (error,) = run_app(
        cloud,
        """
try:
    fe.checked.lookup_symbol('init_task')
except fe.VmiError as e:
    show(str(e))
""",
    )
    assert 'wrong profile' in error


BAD = {
    'not json': ('{"$CONSTANTS": ', 'JSON: '),
    'no structs': ('{"$CONSTANTS": {}}', "'$STRUCTS'"),
    'bad constant': (
        '{"$CONSTANTS": {"a": "x"}, "$STRUCTS": {}}',
        "$CONSTANTS: 'a': expected a whole number",
    ),
    'bad struct': (
        '{"$CONSTANTS": {"_text": 1}, "$STRUCTS": {"t": 1}}',
        "$STRUCTS: 't': expected [size, {members}]",
    ),
    'bad member': (
        '{"$CONSTANTS": {"_text": 1}, "$STRUCTS": {"t": [8, {"m": 1}]}}',
        "'t': member 'm': expected [offset, [type]]",
    ),
    'far offset': (
        '{"$CONSTANTS": {"_text": 1}, "$STRUCTS": {"t": [8, {"m": [1e30, ["int"]]}]}}',
        "member 'm'",
    ),
    'huge offset': (
        '{"$CONSTANTS": {"_text": 1}, "$STRUCTS": {"t": [8, {"m": [99999999999, ["int"]]}]}}',
        "offset 99999999999 of member 'm' is too large",
    ),
    'no text': ('{"$CONSTANTS": {"a": 1}, "$STRUCTS": {}}', 'no symbol _text'),
    'no symbols': ('{"$CONSTANTS": {}, "$STRUCTS": {}}', 'no symbols'),
    'isf without symbols': ('{"user_types": {}}', "'symbols'"),
    'isf without fields': (
        '{"symbols": {}, "user_types": {"t": {}}}',
        "user_types: 't': expected an object with 'fields'",
    ),
    'isf without type': (
        '{"symbols": {}, "user_types": {"t": {"size": 1, "kind": "struct", "fields": {"m": {"offset": 0}}}}}',
        "member 'm': 'type'",
    ),
    'hidden addresses': ('0000000000000000 T _text\n', 'no types'),
    'bad line': ('ffffffff81000000 T _text\nnonsense\n', "line 2: 'nonsense' is not 'ADDRESS TYPE NAME'"),
    'nothing known': ('hello', 'no form of a profile'),
    'elf of nothing': ('\x7fELF', 'ELF'),
}


@pytest.mark.parametrize('name', BAD)
def test_bad_profiles_are_refused_with_the_place(work, name):
    text, expected = BAD[name]
    path = work / 'profile.json'
    path.write_text(text)
    result = furnace('profile', 'show', path, check=False)
    assert result.returncode == 1
    assert str(path) in result.stderr and expected in result.stderr, result.stderr


def test_small_files_that_unpack_to_much_are_refused(work):
    path = work / 'bomb.json.zst'
    subprocess.run(f'head -c 600M /dev/zero | zstd -q -o {path}', shell=True, check=True)
    result = furnace('profile', 'show', path, check=False)
    assert result.returncode == 1 and 'more than 512 MB when decompressed' in result.stderr


def test_damaged_compression_is_refused(profiles, work):
    for name in ('json.xz', 'json.gz', 'json.zst'):
        data = profiles[name][0].read_bytes()
        path = work / f'cut.{name}'
        path.write_bytes(data[: len(data) // 2])
        result = furnace('profile', 'show', path, check=False)
        assert result.returncode == 1 and 'damaged or truncated' in result.stderr, (name, result.stderr)
