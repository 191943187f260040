"""The rooms of src/ are in a linear order, stated in docs/architecture.md, and no file includes what comes
after its own room.
"""

import re
import subprocess

import pytest

from furnace_testing import BUILD, ROOT

SOURCES = sorted([*ROOT.glob('src/**/*.cc'), *ROOT.glob('src/**/*.h')])


def table(document):
    """What the first column of a document's table of rooms names."""
    rows = (ROOT / document).read_text().partition('| room |')[2].partition('\n\n')[0]
    return [name for row in rows.splitlines() for name in re.findall('`([^`]+)`', row.split(' | ')[0])]


ROOMS = [name for name in table('docs/architecture.md') if '/' not in name]


def room_of(path):
    return path.split('/')[0]


def included_by(source):
    """The files of rooms that it includes."""
    return [
        name
        for name in re.findall(r'^#include "([^"]+)"', source.read_text(), re.M)
        if (ROOT / 'src' / name).exists()
    ]


def test_the_table_has_every_room():
    assert sorted(ROOMS) == sorted(path.name for path in (ROOT / 'src').iterdir() if path.is_dir())
    assert [name for name in table('docs/architecture.md') if not (ROOT / 'src' / name).is_dir()] == []


def test_the_map_for_contributors_has_them_in_the_same_order():
    assert table('CONTRIBUTING.md') == [f'src/{room}' for room in ROOMS]


def test_a_file_includes_only_rooms_above_its_own():
    wrong = []
    uses = 0
    for source in SOURCES:
        own = ROOMS.index(room_of(str(source.relative_to(ROOT / 'src'))))
        for name in included_by(source):
            uses += 1
            if ROOMS.index(room_of(name)) > own:
                wrong.append(f'{source.relative_to(ROOT)}: {name}')
    assert wrong == [] and uses > 1000


@pytest.mark.parametrize('folder', ['sandbox/policy', 'sandbox/enter', 'launch/options'])
def test_a_library_of_its_own_does_not_include_the_room_around_it(folder):
    around = folder.split('/')[0]
    assert [
        f'{source.name}: {name}'
        for source in SOURCES
        if str(source.relative_to(ROOT / 'src')).startswith(folder + '/')
        for name in included_by(source)
        if room_of(name) == around and not name.startswith(folder + '/')
    ] == []


@pytest.mark.parametrize(
    'program, has_drivers',
    [
        ('furnace-vmi', True),
        ('furnace-app', False),
        ('furnace-fac', False),
        ('furnace-proxy', False),
        ('furnace-backend', False),
        ('furnace-inspect', False),
    ],
)
def test_only_a_vmi_partition_has_drivers(program, has_drivers):
    symbols = subprocess.run(
        ['nm', '-C', BUILD / 'bin' / program], capture_output=True, text=True, check=True
    ).stdout
    assert 'furnace::' in symbols and ('furnace::hypervisor::' in symbols) == has_drivers


def test_the_quick_tests_have_something_of_each_room():
    script = (ROOT / 'scripts/test').read_text()
    listed = re.search(r'^quick=\((.*?)\)', script, re.M | re.S)[1]
    names = subprocess.run(
        ['bash', '-c', f'printf "%s\\n" {listed}'.replace('\n', ' '), ''],
        capture_output=True,
        text=True,
        check=True,
    ).stdout.split()
    assert [name for name in names if not (ROOT / name).exists()] == []
    rows = (
        (ROOT / 'CONTRIBUTING.md').read_text().partition('| room |')[2].partition('\n\n')[0].splitlines()[2:]
    )
    tests = {row.split('`')[1]: re.findall('`(tests/[^`]+)`', row) for row in rows}
    assert [
        room
        for room, of_room in tests.items()
        if of_room
        and not any(
            test in names
            or test.startswith('tests/unit/')
            or any(name.startswith(test + '/') for name in names)
            for test in of_room
        )
    ] == []
