"""`furnace run` ends, with the reason, where trying again can't help; and waits for a VM if the manifest says
so.
"""

import re
import socket
import uuid

import pytest

from furnace_testing import Process, eventually, free_port, furnace

CODE = '''
import fe
class App:
    def __init__(self, ctx):
        print('up', len(fe.process_list()), flush=True)
        fe.event_register({'event_type': fe.TIMER, 'time_value': 0.1, 'callback': self.tick})
    def tick(self, ctx):
        pass
'''


@pytest.fixture
def run(work):
    """run(manifest): `furnace run` on it, with an app beside it that prints "up"."""
    started = []
    (work / 'app.py').write_text(CODE)

    def start(manifest):
        (work / 'furnace.toml').write_text(manifest)
        started.append(Process(work, 'run', 'run', 'my-app', '--manifest', work / 'furnace.toml'))
        return started[-1]

    yield start
    for process in started:
        process.stop()


def test_a_vm_that_does_not_exist_ends_it(run):
    process = run('[vm]\nname = "no-such-vm"\n')
    assert process.wait_end() == 1
    assert (
        "error: VM 'no-such-vm' does not exist" in process.log and 'starts again' not in process.log
    ), process.log


def test_a_first_start_that_fails_ends_it_with_the_reason(run, work):
    (work / 'guest.toml').write_text('memory_mb = 1\n')
    process = run('[vm]\nname = "guest.toml"\n')
    assert process.wait_end(20) == 1
    assert re.search(
        r"error: vmi: its first start failed: exit code 1: .*'memory_mb'", process.log
    ), process.log
    assert 'starts again' not in process.log


def test_a_proxy_whose_port_is_taken_ends_it_with_the_reason(run, work):
    furnace('keys', 'new', work)
    port = free_port(4)
    with socket.socket() as other:
        other.bind(('127.0.0.1', port))
        other.listen()
        process = run(
            f'[vm]\nname = "sim"\ndriver = "simulator"\n[home]\nproxy = "127.0.0.1:{port}"\nbackend ='
            f' "127.0.0.1:{port + 2}"\n'
        )
        assert process.wait_end(20) == 1
    assert re.search(
        rf'error: proxy: its first start failed: exit code 1: .*{port}', process.log
    ), process.log


def test_a_part_that_fails_too_often_ends_it_with_the_reason(run, work):
    (work / 'app.py').write_text(
        """import fe, os
class App:
    def __init__(self, ctx):
        fe.event_register({'event_type': fe.TIMER, 'time_value': 0, 'callback': self.fail})
    def fail(self, ctx):
        print('never right', flush=True)
        os._exit(1)
"""
    )
    process = run(
        'start_limit_burst = 3\nstart_limit_interval_seconds = 60\n[vm]\nname = "sim"\ndriver = "simulator"\n'
    )
    assert process.wait_end(30) == 1
    assert process.log.count('app ended after') == 3 and process.log.count('app is ready') == 3, process.log
    assert [*re.findall(r'app starts again in ([\d.]+) s', process.log)] == ['0.5', '1.0', '2.0']
    assert (
        'error: app: started 3 times within 60 s' in process.log
        and 'the last time: exit code 1' in process.log
    ), process.log
    assert 'never right' in process.out


def test_an_app_whose_constructor_raises_ends_it_at_the_first_start_with_the_reason(run, work):
    (work / 'app.py').write_text(
        'class App:\n    def __init__(self, ctx):\n        raise RuntimeError("never right")\n'
    )
    process = run('[vm]\nname = "sim"\ndriver = "simulator"\n')
    assert process.wait_end(30) == 1
    assert process.log.count('app ended after') == 1, process.log
    assert 'RuntimeError: never right' in process.log
    assert re.search(
        r"error: app: its first start failed: exit code 4: .*App could not be made", process.log
    ), process.log


def test_a_vm_that_ends_ends_it(run, own_guest):
    process = run(f'[vm]\nname = "{own_guest.name}"\n')
    process.wait_out('up', 60)
    own_guest.qmp('quit')
    assert process.wait_end(20) == 1
    assert f"error: VM '{own_guest.name}' has ended" in process.log, process.log


def test_it_waits_for_its_vm_if_the_manifest_says_so(run):
    name = f't{uuid.uuid4().hex[:8]}'
    process = run(f'wait_for_vm = true\n[vm]\nname = "{name}"\n')
    process.wait_log(f"VM '{name}' does not exist .*; waiting for it")
    try:
        furnace('vm', 'start', name, timeout=300)
        process.wait_out('up', 60)
        furnace('vm', 'stop', name)
        eventually(lambda: process.log.count('waiting for it') == 2, 20, 'second wait')
        furnace('vm', 'start', name, timeout=300)
        eventually(lambda: process.out.count('up') == 2, 60, 'second app')
        assert process.log.count('waiting for it') == 2, process.log
        process.stop()
        assert process.process.returncode == 0
    finally:
        furnace('vm', 'stop', name, check=False)


def test_it_ends_in_order_while_it_waits_for_its_vm(run):
    process = run('wait_for_vm = true\n[vm]\nname = "no-such-vm"\n')
    process.wait_log('waiting for it')
    assert process.stop() == 0
