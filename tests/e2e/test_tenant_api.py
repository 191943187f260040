"""The Python tenant API, from a real app in its own process, against a live guest (and the simulator)."""


from furnace_testing import APP, ROOT, Cloud, furnace, run_app


def test_reads_agree_in_every_form(cloud):
    cloud.start_vmi()
    banner, by_symbol, by_va, by_pa, text, numbers = run_app(
        cloud,
        '''
va = fe.lookup_symbol('linux_banner')
pa = fe.translate_kv2p(va)
show(fe.read_str_ksym('linux_banner'))
show(fe.read_ksym('linux_banner', 13).decode())
show(fe.read_va(va, fe.KERNEL, 13).decode())
show(fe.read_pa(pa, 13).decode())
show(fe.read_str_va(vaddr=va, pid=0))
show([fe.read_8_va(va, 0), fe.read_16_pa(pa), fe.read_32_ksym('linux_banner'), fe.read_64_va(va & (1 << 57) - 1, 0)])
''',
    )
    assert banner.startswith('Linux version 6.1.') and banner == text
    assert by_symbol == by_va == by_pa == banner[:13]
    raw = banner.encode()
    assert numbers == [int.from_bytes(raw[:n], 'little') for n in (1, 2, 4, 8)]


def test_symbols_are_the_guests_kallsyms(cloud, shared_guest):
    shared_guest.run('echo 0 > /proc/sys/kernel/kptr_restrict')
    names = (
        'init_task',
        'linux_banner',
        'do_sys_openat2',
        'commit_creds',
        'jiffies',
        'pcpu_hot',
        'current_task',
    )
    expected = {}
    for line in shared_guest.run(f"grep -E ' ({'|'.join(names)})$' /proc/kallsyms").splitlines():
        address, _, name = line.split()[:3]
        expected.setdefault(name, int(address, 16))
    assert 'init_task' in expected and expected['init_task'] != 0
    cloud.start_vmi()
    (found,) = run_app(cloud, f'show({{n: fe.lookup_symbol(n) for n in {list(expected)!r}}})')
    assert found == expected


def test_structures_are_those_of_the_running_kernel(cloud, shared_guest):
    """The guest's own BTF, read by bpftool's library where present, else by our words: offsets lead to right
    values.
    """
    cloud.start_vmi()
    comm, pid, mine = run_app(
        cloud,
        '''
init = fe.lookup_symbol('init_task')
show(fe.read_str_va(init + fe.lookup_structure('task_struct', 'comm'), 0))
show(fe.read_32_va(init + fe.get_offset('linux_pid'), 0))
show([fe.get_offset(n) == fe.lookup_structure(*m) for n, m in [('linux_tasks', ('task_struct', 'tasks')),
      ('linux_name', ('task_struct', 'comm')), ('linux_mm', ('task_struct', 'mm')), ('linux_pgd', ('mm_struct', 'pgd'))]])
''',
    )
    assert comm == 'swapper/0' and pid == 0 and mine == [True] * 4


def test_process_memory_is_read_through_its_own_tables(cloud, shared_guest):
    shared_guest.run("sleep 4711 & echo $! > /tmp/victim")
    pid = int(shared_guest.run('cat /tmp/victim'))
    stack = next(line for line in shared_guest.run(f'cat /proc/{pid}/maps').splitlines() if '[stack]' in line)
    start, end = (int(x, 16) for x in stack.split()[0].split('-'))
    cloud.start_vmi()
    found, kernel_fails = run_app(
        cloud,
        f'''
page = fe.read_va({end - 4096}, {pid}, 4096)
show(page.count(b'4711'))
show(fe.read_va({end - 4096}, fe.KERNEL, 4096) == b'')
''',
    )
    shared_guest.run(f'kill {pid}')
    assert found >= 1 and kernel_fails


def test_failed_reads_return_the_values_of_1_0_and_checked_ones_raise(cloud):
    cloud.start_vmi()
    values, error = run_app(
        cloud,
        '''
bad = 0x1000
show([fe.read_64_va(bad, 0), fe.read_str_va(bad, 0), fe.read_va(bad, 0, 8).decode(), fe.lookup_symbol('no_such'), fe.read_8_pa(1 << 50)])
try:
    fe.checked.read_64_va(bad, 0)
except fe.VmiError as error:
    show(str(error))
''',
    )
    assert values == [0, '', '', 0, 0]
    assert error.startswith('read_64_va(vaddr=0x1000, pid=0): virtual address 0x1000 is not mapped')


def test_process_list_has_the_form_of_1_0(cloud, shared_guest):
    cloud.start_vmi()
    (processes,) = run_app(cloud, 'show(fe.process_list())')
    assert processes['1']['name'] == 'init'
    assert processes['2'] == {'name': 'kthreadd', 'process_block_ptr': processes['2']['process_block_ptr']}


def test_information_about_the_vm(cloud, shared_guest):
    cloud.start_vmi()
    (info,) = run_app(
        cloud,
        '''
show([fe.get_name(), fe.get_vmid(), fe.get_memsize(), fe.get_ostype(), fe.get_page_mode(), fe.get_access_mode(),
      fe.get_winver(), fe.get_winver_str(), fe.get_vcpureg('cr3') > 0, fe.get_vcpureg(reg='rip', vcpu=0) > 0])''',
    )
    memory = info[2]
    assert 250 << 20 < memory <= 256 << 20
    assert info == [
        shared_guest.name,
        shared_guest.pid,
        memory,
        'VMI_OS_LINUX',
        'VMI_PM_IA32E',
        1,
        0,
        '',
        True,
        True,
    ]


def test_pause_and_resume(cloud, shared_guest):
    cloud.start_vmi()
    app = cloud.start_app(
        '''
import fe
class App:
    def __init__(self, ctx):
        print(fe.pause_vm(), fe.pause_vm(), fe.resume_vm())
        fe.event_register({'event_type': fe.BE, 'callback': self.go_on})
        self.timer = fe.event_register({'event_type': fe.TIMER, 'time_value': 1.0, 'callback': self.go_on})
    def go_on(self, ctx):
        print(fe.resume_vm(), fe.resume_vm())
        fe.exit()
'''
    )
    app.wait_out('0 0 0')
    assert not shared_guest.running()
    app.wait_out('0 1')
    assert shared_guest.running()
    assert app.wait_end() == 0


def test_both_module_names_and_the_constants(sim_cloud):
    sim_cloud.start_vmi()
    same, constants = run_app(
        sim_cloud,
        '''
import furnace_frontend
show(furnace_frontend is fe)
show([fe.VMI_SUCCESS, fe.VMI_FAILURE, fe.CR3, fe.REG, fe.BE, fe.SYNC, fe.KERNEL, fe.F_OVERWRITE, fe.ADD, fe.MAX_FIELD_SIZE])
''',
    )
    assert same and constants == [0, 1, 1, 3, 7, 30, 0, 3, 1, 11056943]


def test_the_constructor_gets_the_context(sim_cloud):
    sim_cloud.start_vmi()
    (ctx,) = run_app(sim_cloud, 'show(ctx)', metadata='{"a": "b c"}')
    assert ctx == {'uuid': APP, 'metadata': '{"a": "b c"}'}


def test_timers(sim_cloud):
    sim_cloud.start_vmi()
    app = sim_cloud.start_app(
        '''
import fe, time
class App:
    def __init__(self, ctx):
        self.start, self.fast = time.monotonic(), 0
        self.turns = fe.event_register({'event_type': fe.TIMER, 'time_value': 0.0, 'callback': self.turn})
        fe.event_register({'event_type': fe.TIMER, 'time_value': 0.3, 'callback': self.slow})
    def turn(self, ctx):
        self.fast += 1
        if self.fast == 50:
            print(ctx, fe.event_clear(self.turns))
    def slow(self, ctx):
        print(self.fast, 0.2 < time.monotonic() - self.start < 2)
        fe.exit()
    def shutdown(self):
        print('shutdown called')
'''
    )
    assert app.wait_end() == 0, app.log
    assert app.out.splitlines() == ['timer triggered True', '50 True', 'shutdown called']


def test_names_and_help(sim_cloud):
    sim_cloud.start_vmi()
    names, help_text, missing = run_app(
        sim_cloud,
        r'''
show([fe.set_name(n) for n in ('watcher-1', '', 'x' * 17, 'a b')])
show([fe.read_va.__doc__, fe.checked.read_va.__doc__])
show([n for n in dir(fe) if callable(getattr(fe, n)) and not n.startswith('_') and not getattr(fe, n).__doc__])
''',
    )
    assert names == [True, False, False, False]
    assert help_text[0].startswith('read_va(vaddr, pid, count)') and 'Raises VmiError' in help_text[1]
    assert missing == [], 'every function of the API has a docstring'


def test_events_of_the_vm_are_a_clear_refusal_where_the_driver_has_none(work, shared_guest):
    furnace('vm', 'snapshot', shared_guest.name, work / 'memory.elf')
    cloud = Cloud(work, work / 'memory.elf', driver='snapshot')
    cloud.start_vmi()
    (error,) = run_app(
        cloud,
        '''
try:
    fe.event_register({'event_type': fe.REG, 'reg_type': fe.CR3, 'sync': fe.ASYNC, 'callback': print})
except fe.VmiError as e:
    show(str(e))
''',
    )
    cloud.stop()
    assert 'has no source of events' in error


def test_what_apps_of_1_0_import_is_there(sim_cloud):
    sim_cloud.start_vmi()
    run_app(
        sim_cloud,
        (
            'import json, time, random, math, collections, zlib, binascii, gc, timeit, pickle, struct,'
            ' hashlib, re'
        ),
    )


def test_the_type_stubs_are_those_of_the_module(sim_cloud):
    import ast

    tree = ast.parse((ROOT / 'python' / 'furnace_frontend.pyi').read_text())

    def functions(body):
        return {f.name: [a.arg for a in f.args.args] for f in body if isinstance(f, ast.FunctionDef)}

    stub = functions(tree.body)
    stub_checked = functions(
        next(c for c in tree.body if isinstance(c, ast.ClassDef) and c.name == 'checked').body
    )
    constants = {a.target.id for a in tree.body if isinstance(a, ast.AnnAssign)}
    sim_cloud.start_vmi()
    module, checked, module_constants = run_app(
        sim_cloud,
        r"""
import inspect, re
def arguments(f):
    if inspect.isfunction(f):
        return list(inspect.signature(f).parameters)
    return [a.split('=')[0] for a in re.match(r'\w+\((.*?)\)', f.__doc__)[1].split(', ') if a]
def functions(m):
    return {n: arguments(f) for n, f in vars(m).items() if not n.startswith('_') and inspect.isroutine(f) and n != 'namedtuple'}
show(functions(fe))
show(functions(fe.checked))
show([n for n in vars(fe) if n.isupper() and n[0] != '_'])
""",
    )
    assert stub == module
    assert stub_checked == checked
    assert constants == set(module_constants)


def test_the_type_stubs_of_furnace_linux_are_those_of_the_module(sim_cloud):
    import ast

    tree = ast.parse((ROOT / 'python' / 'furnace_linux.pyi').read_text())
    stub = {
        each.name: [argument.arg for argument in each.args.args]
        for each in tree.body
        if isinstance(each, ast.FunctionDef)
    }
    fields = {
        each.name: [field.target.id for field in each.body if isinstance(field, ast.AnnAssign)]
        for each in tree.body
        if isinstance(each, ast.ClassDef)
    }
    sim_cloud.start_vmi()
    functions, tuples = run_app(
        sim_cloud,
        """
import furnace_linux, inspect
members = {n: m for n, m in vars(furnace_linux).items() if n[0] != '_'}
imported = ('layout', 'list_of', 'namedtuple', 'offset_of', 'struct')
show({n: list(inspect.signature(m).parameters) for n, m in members.items() if inspect.isfunction(m) and n not in imported})
show({n: m._fields for n, m in members.items() if hasattr(m, '_fields')})
""",
    )
    assert stub == functions and fields == tuples


def test_many_ranges_are_read_in_few_messages(sim_cloud):
    sim_cloud.start_vmi()
    pieces, error, sent = run_app(
        sim_cloud,
        """
import _furnace
exchange, sent = _furnace.batch_exchange, []
_furnace.batch_exchange = lambda request: sent.append(1) or exchange(request)
banner = fe.lookup_symbol('linux_banner')
read = fe.read_many([(banner + i, 1) for i in range(1500)] + [(0x1000, 8), (banner, 5)])
show([b''.join(read[:1500]) == fe.read_va(banner, 0, 1500), read[-1].decode(), fe.read_many([])])
show(str(read[-2]))
show(len(sent))
""",
    )
    assert pieces == [True, 'Linux', []] and 'not mapped' in error and sent == 2


def test_guest_memory_writes_are_seen_by_the_guest(cloud, shared_guest):
    """A process in the guest prints what was written into its memory from outside."""
    shared_guest.run(
        "sh -c 'secret=before-the-write; echo $$ > /tmp/w; while [ ! -e /tmp/go ]; do sleep 0.1; done; echo"
        " $secret > /tmp/said' & while [ ! -s /tmp/w ]; do sleep 0.1; done"
    )
    pid = int(shared_guest.run('cat /tmp/w'))
    heap = next(line for line in shared_guest.run(f'cat /proc/{pid}/maps').splitlines() if '[heap]' in line)
    start, end = (int(x, 16) for x in heap.split()[0].split('-'))
    cloud.start_vmi()
    (written,) = run_app(
        cloud,
        f"""
written = []
for page in range({start}, {end}, 4096):
    data = fe.read_va(page, {pid}, 4096)
    at = data.find(b'before-the-write')
    while at != -1:
        written.append(fe.write_va(page + at, {pid}, b'AFTER!'))
        at = data.find(b'before-the-write', at + 1)
show(written)
""",
    )
    assert written and set(written) == {6}
    shared_guest.run('touch /tmp/go; sleep 0.5')
    assert shared_guest.run('cat /tmp/said') == 'AFTER!-the-write\n'


USUAL_MODULES = '''
abc argparse array ast asyncio base64 binascii bisect bz2 calendar cmath codecs collections colorsys concurrent.futures contextlib
contextvars copy csv ctypes dataclasses datetime decimal difflib enum errno fnmatch fractions functools gc getopt glob graphlib
gzip hashlib heapq hmac html inspect io ipaddress itertools json keyword linecache locale logging logging.handlers lzma math mmap
numbers operator os pathlib pickle pkgutil platform pprint pydoc queue random re reprlib sched secrets select selectors shlex
signal socket stat statistics string struct subprocess sys tempfile textwrap threading time timeit token tokenize tomllib
traceback types typing unicodedata urllib.parse uuid warnings weakref xml.etree.ElementTree zipfile zlib zoneinfo
'''.split()


def test_the_usual_modules_of_the_standard_library_can_be_imported(sim_cloud):
    sim_cloud.start_vmi()
    (failed,) = run_app(
        sim_cloud,
        f"""
import importlib
failed = []
for name in {USUAL_MODULES!r}:
    try:
        importlib.import_module(name)
    except Exception as error:
        failed.append(f'{{name}}: {{error!r}}')
show(failed)
""",
    )
    assert failed == []


def test_help_of_the_api_shows_its_calls_with_what_they_do(sim_cloud):
    sim_cloud.start_vmi()
    (text,) = run_app(
        sim_cloud,
        """
import contextlib, io
out = io.StringIO()
with contextlib.redirect_stdout(out):
    help(fe)
    help(fe.event_register)
    help(fe.checked.read_64_va)
show(out.getvalue())
""",
    )
    for expected in (
        'The tenant API of an app',
        'Registers a callback',
        'read_64_va(vaddr, pid)',
        'Raises VmiError',
    ):
        assert expected in text, text[:2000]
