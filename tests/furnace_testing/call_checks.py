"""Every call of the protocol: what a check runs in an app. One suite for all drivers."""

import re

from furnace_testing import furnace

ROWS = re.findall(
    r'^\| (\w+) \| (.*?) \| .*? \| (1\.\d) \| \d+ \|', furnace('calls', '--markdown').stdout, re.M
)
NAMES = [name for name, _, _ in ROWS]

# What a check runs in an app; it must print True. `va` and `pa` are where the kernel's banner lies, `text` is
# the banner; `scratch`, `scratch_pa` a variable of the kernel that nothing uses in this guest, `page` its
# symbol.
SETUP = """
va = fe.checked.lookup_symbol('linux_banner'); pa = fe.checked.translate_kv2p(va)
text = fe.checked.read_str_va(va, 0); raw = text.encode()
page = 'saved_command_line'; place = fe.checked.lookup_symbol(page); place_pa = fe.checked.translate_kv2p(place)
def number(size): return int.from_bytes(raw[:size], 'little')
def restores(write, size):
    before = fe.checked.read_va(place, 0, size)
    try: return write()
    finally: fe.checked.write_va(place, 0, before)
def fails(f, *a):
    try: f(*a)
    except fe.VmiError as e: return str(e)
    return ''
"""


def write_check(name):
    """A value is written by one call and read back by another; a buffer's call returns how many bytes it
    wrote.
    """
    target = {'pa': 'place_pa', 'va': 'place, 0', 'ksym': 'page'}[name.rsplit('_', 1)[1]]
    width = re.match(r'write_(\d+)_', name)
    if width:
        size = int(width[1]) // 8
        value = 0x1122334455667788 & ((1 << 8 * size) - 1)
        return (
            f"restores(lambda: fe.checked.{name}({target}, {value}) == 0 and"
            f" int.from_bytes(fe.checked.read_va(place, 0, {size}), 'little') == {value}, 8)"
        )
    return (
        f"restores(lambda: fe.checked.{name}({target}, b'furnace') == 7 and fe.checked.read_va(place, 0, 7)"
        " == b'furnace', 8)"
    )


def read_check(name):
    target = {'pa': 'pa', 'va': 'va, 0', 'ksym': "'linux_banner'"}[name.rsplit('_', 1)[1]]
    kind = name.split('_')[1]
    if kind == 'str':
        return f'fe.{name}({target}) == text'
    if kind in ('pa', 'va', 'ksym'):
        return f'fe.{name}({target}, 13) == raw[:13]'
    return f'fe.{name}({target}) == number({8 if kind == "addr" else int(kind) // 8})'


CHECKS = {
    'event_clear': "'this app has no event 77' in fails(fe.checked.event_clear, 77)",
    'event_register': (
        "'expected F_REG' in fails(fe.checked.event_register, 99) and (lambda i: fe.checked.event_clear(i) =="
        " i)(fe.checked.event_register(1, 2, 1))"
    ),
    'events_start': 'fe.checked.events_start() == fe.VMI_SUCCESS',
    'events_stop': 'fe.checked.events_stop() == fe.VMI_SUCCESS',
    'start_syscall': '(lambda i: fe.checked.event_clear(i) == i)(fe.checked.start_syscall(2))',
    'stop_syscall': (
        "'does not trace' in fails(fe.checked.stop_syscall) and fe.checked.start_syscall(2) > 0 and"
        " fe.stop_syscall() == fe.VMI_SUCCESS"
    ),
    'get_access_mode': 'fe.get_access_mode() == {access_mode}',
    'get_memsize': '{least_memory} <= fe.get_memsize() <= {most_memory}',
    'get_name': "fe.get_name() == '{vm}'",
    'get_offset': (
        "fe.get_offset('linux_tasks') == fe.lookup_structure('task_struct', 'tasks') > 0 and 'win' in"
        " fails(fe.checked.get_offset, 'win_pid')"
    ),
    'get_ostype': "fe.get_ostype() == 'VMI_OS_LINUX'",
    'get_page_mode': "fe.get_page_mode() == 'VMI_PM_IA32E'",
    'get_vcpureg': (
        "fe.get_vcpureg('cr3', 0) > 0 and fe.get_vcpureg('cr0', 0) & 1 == 1 and \"no register 'xyz'\" in"
        " fails(fe.checked.get_vcpureg, 'xyz', 0)"
    ),
    'get_vmid': 'fe.get_vmid() == {pid}',
    'get_winver': "'not Windows' in fails(fe.checked.get_winver)",
    'get_winver_str': "'not Windows' in fails(fe.checked.get_winver_str) and fe.get_winver_str() == ''",
    'lookup_structure': (
        "fe.read_str_va(fe.lookup_symbol('init_task') + fe.lookup_structure('task_struct', 'comm'), 0) =="
        " 'swapper/0'"
    ),
    'lookup_symbol': "fe.lookup_symbol('init_task') == {init_task}",
    'pause_vm': "(fe.pause_vm(), fe.resume_vm()) == (0, 0)",
    'resume_vm': "'has not paused' in fails(fe.checked.resume_vm)",
    'process_list': "{{1, 2}} <= fe.process_list().keys() and fe.process_list()[2]['name'] == 'kthreadd'",
    'status': 'fe.status() == 1',
    'translate_ksym2v': "fe.translate_ksym2v('linux_banner') == va",
    'translate_kv2p': 'fe.read_pa(fe.translate_kv2p(va), 13) == raw[:13]',
    'translate_uv2p': (
        "fe.read_pa(fe.translate_uv2p({stack}, 1), 4096) == fe.read_va({stack}, 1, 4096) != b'' and"
        " fe.translate_uv2p({stack}, 2) == 0"
    ),
    'describe_structure': "fe.describe_structure('list_head')['size'] == 16",
}


def body_of(facts, names=NAMES):
    """Statements of an app that shows [call, True, or what happened instead] for each call. A call without a
    check fails.
    """
    checks = {}
    for name in names:
        made = (
            write_check(name)
            if name.startswith('write_')
            else read_check(name)
            if name.startswith('read_')
            else None
        )
        checks[name] = made or CHECKS.get(name, 'None').format(**facts)
    return SETUP + '\n'.join(
        f'try: show([{name!r}, {check}])\nexcept Exception as e: show([{name!r}, repr(e)])'
        for name, check in checks.items()
    )
