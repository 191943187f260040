"""The broker's policy is minimal: without any one of its rules the partition that it serves has no broker any
more.
"""

import os
import subprocess

import pytest

from furnace_testing import APPS, BUILD, ROOT, Cloud, eventually, furnace
from furnace_testing.policies import identify, parse_policy, write_policy

# What a run as short as this may do without: memory beyond what malloc has, a clock where the vDSO has none,
# and the end.
AT_OTHER_TIMES = {
    'ALLOW mmap',
    'ALLOW munmap',
    'ALLOW brk',
    'ALLOW clock_gettime',
    'ALLOW exit_group',
    'A ERRNO wait4 EACCES',
}
RULES = [rule for rule in parse_policy('broker.policy') if rule[1] not in AT_OTHER_TIMES]


@pytest.fixture(scope='module')
def prefix(tmp_path_factory):
    """The programs beside policies of their own."""
    made = tmp_path_factory.mktemp('prefix')
    for folder in ('bin', 'policies'):
        (made / folder).mkdir()
    for program in (BUILD / 'bin').iterdir():
        subprocess.run(['cp', '--reflink=auto', program, made / 'bin'], check=True)
    for policy in (ROOT / 'policies').iterdir():
        (made / 'policies' / policy.name).write_bytes(policy.read_bytes())
    return made


def what_fails(prefix, vm, work):
    """Empty if an app is served, and a visitor as well."""
    program = prefix / 'bin' / 'furnace'
    cloud = Cloud(work / os.urandom(2).hex(), vm)
    try:
        vmi = cloud.start('vmi', vm, '--vmi', cloud.vmi_dir, program=program)
        try:
            vmi.wait_log('serving VM')
        except AssertionError:
            return vmi.log
        visited = furnace('ps', vm, check=False, program=program)
        app = cloud.start_app(APPS / 'uses_broker')
        eventually(
            lambda: app.process.poll() is not None or vmi.process.poll() is not None, 20, 'the end of the app'
        )
        whole = visited.returncode == 0 and 'done' in app.out and vmi.process.poll() is None
        return '' if whole else f'{visited.stderr}\n{app.out}\n{app.log}\n{vmi.log}'
    finally:
        cloud.stop()


def test_all_works_under_the_whole_policy(prefix, one_socket_vm, work):
    assert what_fails(prefix, one_socket_vm, work) == ''


@pytest.mark.parametrize('rule', RULES, ids=[identify(rule) for rule in RULES])
def test_without_a_rule_something_breaks(prefix, one_socket_vm, work, rule):
    write_policy(
        prefix / 'policies' / 'broker.policy',
        [each for each in parse_policy('broker.policy') if each != rule],
    )
    assert what_fails(prefix, one_socket_vm, work), f'nothing needs this rule: {identify(rule)}'
