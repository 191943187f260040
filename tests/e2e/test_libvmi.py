"""LibVMI, where it is: our driver on top of it, and its own tools on profiles that we wrote.
FURNACE_LIBVMI_EXAMPLES names the directory of the latter."""

import os
import re
import subprocess
from pathlib import Path

import pytest

from furnace_testing import BUILD, KERNELS, Cloud, a_module, furnace, run_app, start_guest
from furnace_testing.call_checks import NAMES, body_of

EXAMPLES = Path(os.environ.get('FURNACE_LIBVMI_EXAMPLES', '/usr/lib/libvmi/examples'))


@pytest.fixture(scope='module')
def memory(tmp_path_factory):
    """A snapshot of a guest as raw memory, and what the guest says of itself."""
    vm = start_guest(append='no5lvl')  # LibVMI knows 4 levels of page tables
    vm.run('echo 0 > /proc/sys/kernel/kptr_restrict')
    directory = tmp_path_factory.mktemp('libvmi')
    file = directory / 'memory.raw'
    vm.push('/tmp/m.ko', a_module(next(iter(KERNELS)), directory))
    vm.run('insmod /tmp/m.ko')
    stack = next(line for line in vm.run('cat /proc/1/maps').splitlines() if '[stack]' in line)
    facts = {
        'vm': file,
        'pid': 0,
        'init_task': int(vm.run("grep ' init_task$' /proc/kallsyms").split()[0], 16),
        'access_mode': 2,  # VMI_FILE
        'stack': int(stack.split()[0].split('-')[1], 16) - 4096,
        'least_memory': 256 << 20,
        'most_memory': 256 << 20,
    }
    facts['modules'] = re.findall(r'^(\S+) ', vm.run('cat /proc/modules'), re.M)
    processes = {
        int(pid): name for pid, name in re.findall(r'^\s*(\d+) +(\S.*)$', vm.run('ps -o pid,comm'), re.M)
    }
    furnace('vm', 'snapshot', vm.name, file, '--format', 'raw')
    vm.stop()
    yield file, facts, processes
    file.unlink()


@pytest.mark.skipif(
    b'libvmi.so' not in (BUILD / 'bin' / 'furnace-vmi').read_bytes(), reason='this build has no LibVMI driver'
)
def test_every_call_that_a_snapshot_can_answer(memory, work):
    file, facts, _ = memory
    cloud = Cloud(work, file, driver='libvmi')
    try:
        cloud.start_vmi('--unconfined')
        shown = dict(run_app(cloud, body_of(facts), seconds=120))
    finally:
        cloud.stop()
    live = {
        name
        for name in NAMES
        if name.startswith(('write_', 'event'))
        or name in ('start_syscall', 'stop_syscall', 'get_vcpureg', 'pause_vm')
    }
    assert {name: result for name, result in shown.items() if name not in live and result is not True} == {}


needs_examples = pytest.mark.skipif(
    not (EXAMPLES / 'vmi-process-list').exists(), reason='no examples of LibVMI (FURNACE_LIBVMI_EXAMPLES)'
)


@needs_examples
@pytest.mark.parametrize('profile', ['rekall', 'isf'])
def test_its_list_of_processes_works_with_our_profiles(memory, tmp_path, profile):
    file, _, processes = memory
    written = tmp_path / 'profile.json'
    furnace('profile', 'export', file, '--format', profile, '-o', written)
    result = subprocess.run(
        [EXAMPLES / 'vmi-process-list', '-n', file, '-j', written],
        capture_output=True,
        text=True,
        timeout=120,
    )
    shown = {int(pid): name for pid, name in re.findall(r'\[ *(\d+)\] (.+?) \(struct', result.stdout)}
    assert {1: 'init', 2: 'kthreadd'}.items() <= shown.items(), result.stdout + result.stderr
    assert len(set(shown) & set(processes)) > 30


@needs_examples
@pytest.mark.parametrize('profile', ['rekall', 'isf'])
def test_its_list_of_modules_works_with_our_profiles(memory, tmp_path, profile):
    """It takes its profile from LibVMI's file of settings alone."""
    file, facts, _ = memory
    written, home = tmp_path / 'profile.json', tmp_path / 'home'
    furnace('profile', 'export', file, '--format', profile, '-o', written)
    (home / 'etc').mkdir(parents=True)
    key = {'rekall': 'rekall_profile', 'isf': 'volatility_ist'}[profile]
    (home / 'etc' / 'libvmi.conf').write_text(
        f'{file.name} {{\n    ostype = "Linux";\n    {key} = "{written}";\n}}\n'
    )
    result = subprocess.run(
        [EXAMPLES / 'vmi-module-list', file],
        capture_output=True,
        text=True,
        timeout=120,
        env={'HOME': str(home), 'SUDO_USER': ''},
    )
    assert facts['modules'] and set(facts['modules']) == set(result.stdout.split()), (
        result.stdout + result.stderr
    )
