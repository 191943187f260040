"""The names of system calls and how many arguments they have, compared with the kernel's own trace events."""

import re

import pytest

from furnace_testing import ROOT, start_guest

# The kernel's trace events have the names of functions. They lack what is no SYSCALL_DEFINE.
RENAMED = {
    'newstat': 'stat',
    'newfstat': 'fstat',
    'newlstat': 'lstat',
    'newuname': 'uname',
    'umount': 'umount2',
    'sendfile64': 'sendfile',
}
COMMON = 5  # fields of each event: four of all events, and the number of the call

CALL = """
[[event]]
at = {}
kind = "syscall"
pid = 1
number = {}
returns = true
result = 0
"""


@pytest.fixture(scope='module')
def witness():
    """The kernels' own count of each call's arguments: {name: count}."""
    counts = {}
    for kernel in ('6.1', '6.12'):
        vm = start_guest(kernel)
        vm.run('mkdir -p /sys/kernel/tracing; mount -t tracefs none /sys/kernel/tracing')
        told = vm.run('cd /sys/kernel/tracing/events/syscalls; grep -c field: sys_enter_*/format; cd /')
        vm.stop()
        for name, fields in re.findall(r'^sys_enter_(\w+)/format:(\d+)$', told, re.M):
            counts[RENAMED.get(name, name)] = int(fields) - COMMON
    assert len(counts) > 350
    return counts


def test_every_call_has_the_arguments_of_the_kernels_own_trace_events(described_cloud, witness):
    calls = ''.join(CALL.format(3 + number / 100, number) for number in range(463))
    cloud = described_cloud('[[task]]\npid = 1\nname = "init"\n' + calls)
    cloud.start_vmi()
    app = cloud.start_app(ROOT / 'apps' / 'syscall_trace' / 'app', metadata='{"seconds": 10}')
    assert app.wait_end(30) == 0, app.log
    told = {
        name: len(arguments.split(', ')) if arguments else 0
        for name, arguments in re.findall(r'^ +1 init +(\w+)\((.*?)\)', app.out, re.M)
    }
    assert len(told) > 370, app.out
    common = told.keys() & witness.keys()
    assert {name: told[name] for name in common} == {name: witness[name] for name in common}
    assert witness.keys() - told.keys() == set()
    assert told['rt_sigreturn'] == 0 and told['modify_ldt'] == 3 and told['syscall_400'] == 6
