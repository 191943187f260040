"""Every number on every command line has bounds, which --help shows; what lies outside is refused, and the
error names the option, what was written, and what is allowed."""

import re

import pytest

from furnace_testing import furnace
from furnace_testing.help import commands

# Launchers and programs of their own aren't listed as subcommands of subcommands, but have a --help.
BOUNDS = re.compile(r'(-?[\d.]+) to ([\d.]+)')


def numbers():
    """(command, option, bounds) of each option that takes a number."""
    for command, text in commands().items():
        for entry in re.split(r'\n(?=  \S)', text):
            option = re.match(r'  (?:-\w,)?(--[\w-]+)(?:,--[\w-]+)* (?:U?INT|FLOAT)', entry)
            if option:
                yield pytest.param(command, option[1], entry, id=' '.join((*command, option[1])))


ALL = list(numbers())


def test_the_commands_with_numbers_are_found():
    """The sweep below is worth nothing if it finds nothing."""
    found = {' '.join((*param.values[0], param.values[1])) for param in ALL}
    assert {
        'vm start --memory',
        'vm start --wait',
        'vmi --watchdog',
        'app --memory',
        'fac --it',
        'proxy --it',
        'backend --et',
        'tail --count',
        'top --interval',
        'cgroup make --cpu',
        'policy learn --files',
    } - found == set(), found
    assert len(found) > 25


@pytest.mark.parametrize('command, option, help_text', ALL)
def test_a_number_out_of_its_bounds_is_refused(command, option, help_text):
    bounds = BOUNDS.search(help_text)
    assert bounds, f'--help shows no bounds: {help_text}'
    least, most = map(float, bounds.groups())
    for wrong in (
        f'{least - 1:.0f}',
        f'{most + 1:.0f}',
        '99999999999999999999',
        '-99999999999999999999',
        '1e99',
        'nan',
        'many',
        '3MB',
    ):
        refused = furnace(*command, option, wrong, check=False)
        assert refused.returncode == 2, (wrong, refused)
        said = refused.stderr + refused.stdout
        assert f'{option}:' in said and wrong in said and f'{bounds[1]} to {bounds[2]}' in said, (wrong, said)


@pytest.mark.parametrize(
    'command, option, wrong, said',
    [
        ('vmi', '--watchdog-for', 'an-app=-1', "'an-app' is -1: expected a whole number, 0 to 86400000 ms"),
        ('vmi', '--watchdog-for', 'an-app=86400001', "'an-app' is 86400001"),
        ('vmi', '--watchdog-for', '=5', "'=5': expected APP=MILLISECONDS"),
        (
            'fac',
            '--qt',
            '_furnace_max_disk:-1',
            '_furnace_max_disk is -1: expected a whole number, 0 to 1125899906842624 bytes',
        ),
        (
            'fac',
            '--qt',
            '_furnace_max_outbox:99999999999999999999',
            '_furnace_max_outbox is 99999999999999999999',
        ),
        ('fac', '--qt', '_furnace_max_disk', "'_furnace_max_disk': expected key:value"),
    ],
)
def test_a_number_inside_of_a_text_is_refused(command, option, wrong, said):
    refused = furnace(command, option, wrong, check=False)
    assert refused.returncode == 2 and f'{option}: ' in refused.stderr and said in refused.stderr, refused


@pytest.mark.parametrize(
    'where, said',
    [('127.0.0.1:0', 'port is 0'), ('127.0.0.1:65536', 'port is 65536'), ('127.0.0.1:-1', 'port is -1')],
)
def test_a_port_of_metrics_has_bounds(where, said):
    refused = furnace('top', '--serve', where, check=False)
    assert (
        refused.returncode == 1 and f'{said}: expected a whole number, 1 to 65535' in refused.stderr
    ), refused
