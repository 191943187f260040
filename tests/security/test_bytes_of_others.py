"""A known hostile text is sent through every place where bytes of others are shown, and the raw output is
looked at.

Guests, tenants, peers, files and other users' processes choose many of the texts that an operator reads. None
of them acts on the terminal, hides or reorders anything, or begins a line that passes for one of Furnace's
own.
"""

import base64
import json
import os
import re
import shlex
import signal
import subprocess
import sys
import time

import pytest
import zmq

from furnace_testing import APP as OWNER
from furnace_testing import FURNACE, Process, eventually, furnace

FORGED = '12:00:00.000 furnace error: forged'
# C0, C1, DEL, bidi, zero width, line separators, a tag, marks upon marks, not assigned; bytes that are no
# UTF-8.
ACTING = (
    'H\x1b[2J\x1b]0;title\x07\r\x7f\u009b2J\u202eevil\u2066\u200f\u200b\ufeff\u2028\u00ad\U000e0041\u0378'
    + 'a'
    + '\u0301' * 50
).encode() + b'\x9b2J\xff\xc0\xaf\xed\xa0\x80'
HOSTILE = ACTING + b'\n' + FORGED.encode()
SHOWN = r'H\x1b[2J'  # how it begins where it is shown


def assert_safe(raw, names=SHOWN, lines=None):
    """That nothing of a raw output acts on a terminal, that it has what was to be shown, and no line that is
    not ours.
    """
    text = raw.decode()  # strictly: it is UTF-8
    bad = {character for character in text if character not in '\n\t' and not character.isprintable()}
    assert not bad, (bad, text)
    assert not re.search('\u0301{5}', text), 'marks upon marks'
    assert not re.search(rf'^{FORGED}', text, re.M), text
    assert names in text, text
    assert lines is None or text.count('\n') == lines, text
    return text


def out_of(*arguments, check=True, **options):
    """What `furnace` prints on both streams, as bytes."""
    done = subprocess.run(
        [FURNACE, *arguments], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=120, **options
    )
    assert not check or done.returncode == 0, done
    return done.stdout


def quoted(raw):
    """As a word of a guest's shell."""
    return '"$(printf ' + shlex.quote(''.join(f'\\{byte:03o}' for byte in raw)) + ')"'


@pytest.fixture
def hostile_processes(shared_guest):
    """A process whose name, file and arguments are hostile."""
    name, file, argument = (quoted(text) for text in (HOSTILE[:15], b'/tmp/busybox' + HOSTILE, HOSTILE))
    shared_guest.run(f'cp /bin/busybox {file}')
    loop = """'printf %s "$1" > /proc/self/comm; while :; do sleep 1; done'"""
    shared_guest.run(f'{file} sh -c {loop} x {name} {argument} & echo $! > /tmp/hostile')
    eventually(lambda: 'H' in shared_guest.run('cat /proc/$(cat /tmp/hostile)/comm'), 10, 'the name')
    yield
    shared_guest.run('kill $(cat /tmp/hostile); rm -f /tmp/busybox*')


@pytest.mark.parametrize('form', ['--tree', '--long', None])
def test_processes_of_a_guest(shared_guest, hostile_processes, form):
    text = assert_safe(out_of('ps', shared_guest.name, *([form] if form else [])))
    if form == '--long':
        name = re.escape(SHOWN)
        assert re.search(
            rf'^[\d ]+[A-Z] {name}.*/tmp/busybox{name}.*{name}', text, re.M
        ), 'name, file and arguments'


def test_processes_of_a_guest_as_json(shared_guest, hostile_processes):
    raw = out_of('ps', shared_guest.name, '--json')
    assert raw.isascii()
    assert_safe(raw, r'H\u001b[2J')


APP = f'''
import fe, os, sys
HOSTILE = {HOSTILE!r}
class App:
    def __init__(self, ctx):
        os.write(1, HOSTILE.replace(b'\\n', b' ') + b'\\n')
        os.write(2, HOSTILE.replace(b'\\n', b' ') + b'\\n')
        text = HOSTILE.decode(errors='replace')
        fe.log('log ' + text)
        try:
            fe.checked.lookup_symbol('symbol ' + text)
        except Exception as error:
            fe.log('error ' + str(error))
        fe.event_register({{'event_type': fe.TIMER, 'time_value': 0.1, 'callback': self.look}})
    def look(self, _):
        raise ValueError('traceback ' + HOSTILE.decode(errors='replace'))
'''


def test_what_an_app_prints_logs_and_raises(sim_cloud):
    sim_cloud.start_vmi()
    app = sim_cloud.start_app(APP)
    app.wait_log('ValueError')
    app.stop()
    assert_safe(app.out_file.read_bytes(), lines=1)
    text = assert_safe(app.log_file.read_bytes())
    for way in ('log', 'error', 'traceback'):
        assert way + ' ' in text, text


def test_an_app_prints_raw_where_that_is_asked_for(sim_cloud):
    sim_cloud.start_vmi()
    app = sim_cloud.start('app', *sim_cloud.app_arguments(APP, app='raw'), '--raw-output')
    eventually(lambda: FORGED.encode() in app.out_file.read_bytes(), 30, 'its output')
    app.stop()
    assert app.out_file.read_bytes() == HOSTILE.replace(b'\n', b' ') + b'\n'


def test_the_path_of_a_violation_is_one_line(sim_cloud):
    sim_cloud.start_vmi()
    app = sim_cloud.start_app(f'class App:\n    def __init__(self, ctx):\n        open(b"/" + {HOSTILE!r})\n')
    assert app.wait_end(20) == 128 + signal.SIGSYS
    text = assert_safe(app.log_file.read_bytes())
    assert (
        len(re.findall('violation', text)) == 1 and len(re.findall('forged', text)) == 2
    ), 'in the argument and in the rule'


def test_a_crash_report(work):
    data = work / 'tenant_data' / 'reported'
    data.mkdir(parents=True)
    (data / 'app.py').write_text(
        'import os\nclass App:\n    def __init__(self, ctx):\n'
        f'        os.write(2, {HOSTILE!r})\n        os._exit(3)\n'
    )
    (data / 'furnace.toml').write_text('restart = "never"\n[vm]\nname = "sim"\ndriver = "simulator"\n')
    run = Process(work, 'run', 'run', 'reported', '--manifest', data / 'furnace.toml')
    assert run.wait_end(60) != 0
    [report] = (data / 'crashes').glob('*-app.txt')
    assert_safe(report.read_bytes())
    assert SHOWN in run.log


@pytest.fixture
def hostile_vm(work):
    """A QEMU whose user has chosen its name, and a name that is a command to a shell."""
    names = [HOSTILE, f'x$(touch {work}/run-by-the-shell)'.encode()]
    started = [
        subprocess.Popen(
            [
                'qemu-system-x86_64',
                '-machine',
                'none',
                '-nodefaults',
                '-display',
                'none',
                '-name',
                name,
                '-qmp',
                f'unix:{work}/qmp{number},server=on,wait=off',
            ],
            stderr=subprocess.DEVNULL,
        )
        for number, name in enumerate(names)
    ]
    eventually(lambda: all((work / f'qmp{number}').exists() for number in range(len(names))), 20, 'QEMU')
    yield
    for process in started:
        process.kill()
        process.wait()


@pytest.mark.parametrize(
    'command',
    [['vm', 'list'], ['vm', 'list', '--names'], ['doctor'], ['ps', 'no-such-vm'], ['vmi', 'no-such-vm']],
    ids=' '.join,
)
def test_names_of_vms(hostile_vm, work, command):
    assert_safe(out_of(*command, check=False, cwd=work))


def test_names_of_vms_are_completed_and_not_run(hostile_vm, work):
    script = f'''PATH={FURNACE.parent}:$PATH
source <(furnace completion bash)
COMP_WORDS=(furnace ps x) COMP_CWORD=2
_furnace
printf '%s\\n' "${{COMPREPLY[@]}}"
COMP_WORDS=(furnace ps H)
_furnace
printf '%s\\n' "${{COMPREPLY[@]}}"'''
    raw = subprocess.run(['bash', '-c', script], capture_output=True, check=True, timeout=60).stdout
    assert_safe(raw, r'x\$\(touch')
    assert not (work / 'run-by-the-shell').exists()


def test_a_profile_of_another_user(work):
    isf = {
        'metadata': {'format': '6.2.0'},
        'base_types': {},
        'enums': {},
        'user_types': {},
        'symbols': {
            '_text': {'address': 0xFFFFFFFF81000000},
            'linux_banner': {
                'address': 0xFFFFFFFF82000000,
                'constant_data': base64.b64encode(b'Linux version 6.1 ' + ACTING + b'\n\0').decode(),
            },
        },
    }
    file = work / 'profile.json'
    file.write_text(json.dumps(isf))
    assert_safe(out_of('profile', 'show', file))


def test_messages_on_the_line(sim_cloud, work):
    sim_cloud.start_vmi()
    sim_cloud.start_backend(
        'import be\nclass AppBE:\n    def __init__(self, ctx):\n        be.event_register({"event_type":'
        ' be.FE, "callback": lambda ctx: be.log("heard " + ctx.message)})\n'
    )
    sim_cloud.start_proxy()
    sim_cloud.start_fac()
    tails = [
        sim_cloud.start('tail', '--fac', sim_cloud.fac_dir, '-n', '1', *flags) for flags in ([], ['--json'])
    ]
    time.sleep(1)  # until both have subscribed
    sim_cloud.start_app(
        'import fe\nclass App:\n    def __init__(self, ctx):\n       '
        f' fe.notify({HOSTILE.decode(errors="replace")!r})\n'
    )
    for tail, shown in zip(tails, (SHOWN, r'H\u001b[2J')):
        assert tail.wait_end(30) == 0
        assert_safe(tail.out_file.read_bytes(), shown, lines=1)
    backend = next(process for process in sim_cloud.processes if process.log_file.name.startswith('backend'))
    backend.wait_log('heard')
    assert_safe(backend.log_file.read_bytes())


def test_the_identity_of_a_peer(sim_cloud):
    vmi = sim_cloud.start_vmi()
    sim_cloud.start_app(
        'class App:\n    def __init__(self, ctx):\n        print("is there", flush=True)\n'
    ).wait_out('is there')
    with zmq.Context() as context, context.socket(zmq.DEALER) as dealer:
        dealer.setsockopt(zmq.IDENTITY, HOSTILE[:200])
        dealer.setsockopt(zmq.LINGER, 0)
        dealer.connect(f'ipc://{sim_cloud.vmi_dir}/{OWNER}/vmi_rtr')
        dealer.send_multipart([b'', b''])
        vmi.wait_log('refused: who calls')
    vmi.stop()
    assert_safe(vmi.log_file.read_bytes())


def test_the_name_of_a_partition_in_top(described_cloud, work):
    made = described_cloud('name = "x"\n')
    hostile = os.fsencode(work) + b'/guest' + ACTING.replace(b'/', b'') + b'.toml'
    os.rename(made.vm, hostile)
    with open(work / 'log', 'wb') as log:
        vmi = subprocess.Popen(
            [FURNACE, 'vmi', hostile, '--driver', 'simulator', '--vmi', work / 'vmi'], stderr=log
        )
    try:
        eventually(lambda: b'serving VM' in (work / 'log').read_bytes(), 30, 'the VMI partition')
        assert_safe(out_of('top', '--once'), 'vmi ')
        assert_safe((work / 'log').read_bytes())
    finally:
        vmi.terminate()
        vmi.wait()


def test_a_policy_of_another_user(work):
    file = os.fsencode(work) + b'/' + HOSTILE.replace(b'/', b'') + b'.policy'
    with open(file, 'wb') as policy:
        policy.write(
            b'A TEST_ARGS openat {\n  REG_PTR:exactpath|/'
            + ACTING
            + b'\n  REG_PTR:exactpath|x'
            + ACTING
            + b'\n}\n'
        )
    with open(work / 'other', 'w') as policy:
        policy.write('ALLOW read\n')
    for command in (['check', file], ['explain', 'openat', file], ['diff', file, work / 'other']):
        assert_safe(out_of('policy', *command, check=False))
    with open(file, 'ab') as policy:
        policy.write(ACTING + b'\n')
    assert_safe(out_of('policy', 'check', file, check=False))


def test_no_path_becomes_a_rule_of_its_own(work):
    path = b'/tmp/x\nALLOW execve\n' + ACTING
    code = f'import os\ntry: os.open({path!r}, 0)\nexcept OSError: pass'
    raw = out_of('policy', 'learn', '--', sys.executable, '-c', code)
    text = assert_safe(raw, 'no rule can name it: /tmp/x\\nALLOW execve')
    assert not re.search(r'^ALLOW execve$', text, re.M)


def test_a_key_file_of_another_user(work):
    keys = work / 'keys'
    furnace('keys', 'new', keys)
    for ending in (b'.pub', b'.key'):
        os.rename(
            os.fsencode(keys) + b'/app' + ending,
            os.fsencode(keys) + b'/' + HOSTILE.replace(b'/', b'')[:120] + ending,
        )
    for command in ('show', 'check'):
        assert_safe(out_of('keys', command, keys, check=False))
