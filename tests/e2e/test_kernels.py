"""Kernels of Debian's suites that no other test boots: lists, symbols, types, events and example apps, each
with the guest as its witness.
"""

import hashlib
import json

import pytest

from furnace_testing import a_module, eventually, furnace, run_app, run_example, start_guest
from furnace_testing.process_table import compare, inside

EVENTS = """
import fe, json
class App:
    def __init__(self, ctx):
        seen = lambda kind: lambda event: print(
            json.dumps([kind, getattr(event, 'return_value', None)]), flush=True
        )
        for kind, more in (
            ('SYSCALL', {'number': 'mkdir', 'returns': True}),
            ('PROCESS_CREATED', {}), ('PROCESS_EXECUTED', {}), ('PROCESS_EXITED', {}),
            ('CREDENTIALS', {}), ('MODULE_LOADED', {}), ('REG', {'reg_type': fe.CR3}),
            ('INT', {'bp_addr': fe.checked.lookup_symbol('__x64_sys_sethostname')}),
            ('MEM', {'addr': fe.checked.lookup_symbol('init_uts_ns'), 'length': 390}),
        ):
            event = {'event_type': getattr(fe, kind), 'callback': seen(kind), **more}
            fe.event_register(event)
        fe.events_start()
        print('"ready"', flush=True)
"""


@pytest.fixture(scope='module', params=['5.10', '5.10-rt', '6.1-rt', '6.12-generic', 'sid', 'sid-rt'])
def vm(request):
    """A guest of each kernel."""
    made = start_guest(request.param, memory='512')
    made.kernel = request.param
    yield made
    made.stop()


def test_the_list_is_the_guests(vm):
    assert len(inside(vm)) > 20
    compare(vm)


def test_symbols_are_those_of_proc_kallsyms(vm, vm_cloud):
    names = (
        'init_task linux_banner commit_creds do_syscall_64 jiffies init_top_pgt sys_call_table modules'
        ' page_offset_base __x64_sys_openat'
    ).split()
    lines = vm.run(f"grep -E ' ({'|'.join(names)})$' /proc/kallsyms").splitlines()
    witness = {line.split()[2]: int(line.split()[0], 16) for line in lines}
    assert len(witness) >= len(names)
    vm_cloud.start_vmi()
    (told,) = run_app(vm_cloud, f'show({{n: fe.checked.lookup_symbol(n) for n in {list(witness)}}})')
    assert told == witness


def test_types_are_those_of_its_btf_file(vm, work):
    whole = furnace('profile', 'export', vm.name, '--format', 'btf', '--output', work / 'btf')
    ours = hashlib.sha256((work / 'btf').read_bytes()).hexdigest()
    assert vm.run('sha256sum /sys/kernel/btf/vmlinux').split()[0] == ours, whole.stderr


def test_a_snapshot_says_the_same(vm, work):
    vm.qmp('stop')
    try:
        furnace('vm', 'snapshot', vm.name, work / 'raw', '--format', 'raw')
        live = furnace('ps', vm.name, '--json').stdout
    finally:
        vm.qmp('cont')
    assert furnace('ps', work / 'raw', '--json').stdout == live


@pytest.mark.parametrize('how', ['auto', 'breakpoints'])
def test_every_kind_of_event_is_reported(vm, vm_cloud, work, how):
    vm.push('/tmp/m.ko', a_module(vm.kernel, work))
    vm_cloud.start_vmi('--events-by', how)
    app = vm_cloud.start_app(EVENTS)
    eventually(lambda: 'ready' in app.out or app.process.poll() is not None, 20, 'its registrations')
    assert app.process.poll() is None, app.log
    vm.run('mkdir /tmp/made; rmdir /tmp/made; hostname another; insmod /tmp/m.ko; cat /etc/passwd')

    def kinds():
        return {json.loads(line)[0] for line in app.out.splitlines() if line.startswith('[')}

    wanted = {
        'SYSCALL',
        'PROCESS_CREATED',
        'PROCESS_EXECUTED',
        'PROCESS_EXITED',
        'MODULE_LOADED',
        'REG',
        'INT',
        'MEM',
    }
    eventually(lambda: wanted <= kinds(), 20, f'the kinds {wanted}')
    assert '["SYSCALL", 0]' in app.out.splitlines()  # the answer of mkdir
    vm.run('while read name rest; do rmmod $name; done < /proc/modules')
    assert vm.run('echo alive').strip() == 'alive'


def test_the_example_apps_run(vm, vm_cloud):
    vm_cloud.start_vmi()
    vm_cloud.start_fac(quota=1 << 20)
    assert run_example(vm_cloud, 'rootkit_check', 'once') == '0 findings\n'
    assert 'kthreadd' in run_example(vm_cloud, 'pslist', 'list')
    assert run_example(vm_cloud, 'modules').startswith('MODULE')
    assert '/dev/' in run_example(vm_cloud, 'open_files')
