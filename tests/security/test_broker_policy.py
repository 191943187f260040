"""The broker's policy is minimal: without any one of its rules the partition that it serves has no broker any more."""

import os
import subprocess

import conftest
import pytest
from conftest import BUILD, ROOT, Cloud, wait_for
from test_policies import identify, parse, write

# What a run as short as this may do without: memory beyond what malloc has, a clock where the vDSO has none, and the end.
AT_OTHER_TIMES = {'ALLOW mmap', 'ALLOW munmap', 'ALLOW brk', 'ALLOW clock_gettime', 'ALLOW exit_group', 'A ERRNO wait4 EACCES'}
RULES = [rule for rule in parse('broker.policy') if rule[1] not in AT_OTHER_TIMES]
CODE = '''
import fe
class App:
    def __init__(self, ctx):
        address = fe.lookup_symbol('jiffies')
        print(len(fe.process_list()), len(fe.read_va(address, 0, 4 << 20)), flush=True)
        scratch = fe.lookup_symbol('empty_zero_page')
        fe.write_64_va(scratch, 0, 0)
        fe.pause_vm(), fe.resume_vm()
        # The guest is idle: what matters is that the points are set and taken back.
        fe.event_register({'event_type': fe.REG, 'callback': lambda _: None})
        fe.events_start()
        fe.event_register({'event_type': fe.TIMER, 'time_value': 0.3, 'callback': self.end})
    def end(self, _):
        print('done', flush=True)
        fe.exit()
'''


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


def what_fails(prefix, vm, work, monkeypatch):
    """Empty if an app is served, and a visitor as well."""
    monkeypatch.setattr(conftest, 'FURNACE', prefix / 'bin' / 'furnace')
    cloud = Cloud(work / os.urandom(2).hex(), vm)
    try:
        vmi = cloud.start('vmi', vm, '--vmi', cloud.vmi_dir)
        try:
            vmi.wait_log('serving VM')
        except AssertionError:
            return vmi.log
        visited = conftest.furnace('ps', vm, check=False)
        monkeypatch.setattr(conftest, 'FURNACE', BUILD / 'bin' / 'furnace')
        app = cloud.start_app(CODE)
        wait_for(lambda: app.process.poll() is not None or vmi.process.poll() is not None, 20, 'the end of the app')
        whole = visited.returncode == 0 and 'done' in app.out and vmi.process.poll() is None
        return '' if whole else f'{visited.stderr}\n{app.out}\n{app.log}\n{vmi.log}'
    finally:
        cloud.stop()


def test_all_works_under_the_whole_policy(prefix, one_socket, work, monkeypatch):
    assert what_fails(prefix, one_socket, work, monkeypatch) == ''


@pytest.mark.parametrize('rule', RULES, ids=[identify(rule) for rule in RULES])
def test_without_a_rule_something_breaks(prefix, one_socket, work, monkeypatch, rule):
    write(prefix / 'policies' / 'broker.policy', [each for each in parse('broker.policy') if each != rule])
    assert what_fails(prefix, one_socket, work, monkeypatch), f'nothing needs this rule: {identify(rule)}'
