"""Apps that take all they can get: each meets its limit, it is told, and a neighbour is served meanwhile."""

import os
import re
import signal
import statistics
import time

import pytest
import zmq

from furnace_testing import Cloud, eventually, furnace, partition_of, resident_mb, run_app
from furnace_testing.neighbour import latencies, start_neighbour

ATTACKER = 'attacker'


@pytest.fixture
def place(sim_cloud):
    """A simulated VM with an app that is served all the time; each test asks at its end whether it was."""
    sim_cloud.start_vmi()
    start_neighbour(sim_cloud)
    eventually(lambda: sim_cloud.neighbour.out.count('\n') > 5, 20, 'the neighbour')
    quiet = len(latencies(sim_cloud))
    yield sim_cloud
    served = eventually(lambda: latencies(sim_cloud)[quiet:], 10, 'the neighbour')
    assert sim_cloud.neighbour.process.poll() is None
    # No limit of time is asserted but that of the call itself: none came near to being given up.
    print(
        f'\n    slowest call of the neighbour: {max(slowest for _, slowest in served) * 1000:.1f} ms, '
        f'usual: {statistics.median(usual for usual, _ in served) * 1e6:.0f} us'
    )
    assert max(slowest for _, slowest in served) < 5


def start(place, body, *flags):
    lines = '\n'.join('        ' + line for line in body.strip('\n').splitlines())
    code = f'import fe, os, time\nclass App:\n    def __init__(self, ctx):\n{lines}\n'
    return place.start(
        'app',
        '-c',
        place.source('attack', code),
        '--u2',
        ATTACKER,
        '--fac',
        place.fac_dir,
        '--vmi',
        place.vmi_dir,
        *flags,
    )


needs_root = pytest.mark.skipif(os.geteuid() != 0, reason='control groups are made by root')


@needs_root
def test_a_fork_bomb_without_its_policy_meets_the_limit_of_processes(place):
    """The first wall is left out, so that the second is seen: 30 processes."""
    app = start(
        place,
        '''
children = 0
while True:
    try:
        if os.fork() == 0:
            time.sleep(1000)
        children += 1
    except OSError as error:
        print('refused after', children, error.errno, flush=True)
        time.sleep(1000)
''',
        '--no-inspect',
    )
    app.wait_out(r'refused after (\d+) 11')
    assert int(re.search(r'after (\d+)', app.out)[1]) < 30
    app.stop(signal.SIGKILL)
    eventually(lambda: f'.{app.pid}' not in furnace('cgroup', 'show').stdout, 10, 'the end of all of them')


@needs_root
def test_a_thread_bomb_meets_the_limit_of_processes(place):
    app = start(
        place,
        '''
import threading
count = 0
try:
    while True:
        threading.Thread(target=time.sleep, args=(1000,), daemon=True).start()
        count += 1
except RuntimeError:
    print('refused after', count, flush=True)
    os._exit(0)
''',
    )
    assert app.wait_end(20) == 0, app.log
    assert int(re.search(r'refused after (\d+)', app.out)[1]) < 30
    assert 'forks were refused' in app.log


@needs_root
def test_a_memory_bomb_is_ended(place):
    app = start(
        place,
        '''
kept = []
while True:
    kept.append(b'x' * (8 << 20))
''',
        '--memory',
        '60',
    )
    assert app.wait_end(30) == 137, app.log
    assert 'ended for want of memory' in app.log


def test_a_bomb_of_open_files_meets_its_limit(place):
    app = start(
        place,
        '''
kept = []
try:
    while True:
        kept.append(open(__file__))
except OSError as error:
    print('refused after', len(kept), error.errno, flush=True)
fe.exit()
''',
    )
    assert app.wait_end(20) == 0, app.log
    count, number = re.search(r'refused after (\d+) (\d+)', app.out).groups()
    assert int(count) < 256 and number == '24'  # EMFILE


def test_a_disk_is_filled_up_to_the_quota(place):
    place.start_proxy()
    fac = place.start_fac(quota=2_000_000)
    code = '''
import fe
class App:
    def __init__(self, ctx):
        stored = 0
        try:
            for i in range(10_000):
                fe.io_set(f'key{i}', 'x' * 100_000)
                stored += 100_000
        except Exception as error:
            print('refused after', stored, error, flush=True)
        fe.exit()
'''
    app = place.start_app(code)
    assert app.wait_end(30) == 0, app.log
    assert 0 < int(re.search(r'refused after (\d+)', app.out)[1]) <= 2_000_000
    stored = sum(
        file.stat().st_size for file in (place.fac_dir.parent / 'storage').rglob('*') if file.is_file()
    )
    assert stored < 8_000_000
    assert fac.process.poll() is None


def test_a_cpu_hog_gets_only_its_share(place):
    hog = start(
        place,
        '''
print('on', flush=True)
while True:
    pass
''',
        '--cpu',
        '25',
    )
    hog.wait_out('on')
    inside = partition_of(hog.pid)

    def cpu():
        fields = open(f'/proc/{inside}/stat').read().rsplit(')', 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf('SC_CLK_TCK')

    before, start_time = cpu(), time.monotonic()
    time.sleep(2)
    used = (cpu() - before) / (time.monotonic() - start_time)
    assert used < 0.5, 'of one CPU, where it has 0.25'
    hog.stop(signal.SIGKILL)


def test_messages_of_100_mb_end_only_their_connection(place):
    """ZeroMQ's frames of more than 64 MB are refused before they are received."""
    app = start(
        place,
        '''
import ctypes
try:
    fe.write_va(0xffff888000000000, 0, b'x' * (100 << 20))
    print('written')
except Exception as error:
    print('refused:', str(error)[:200], flush=True)
fe.exit()
''',
        '--memory',
        '600',
    )
    assert app.wait_end(60) == 0, app.log
    assert 'refused' in app.out and 'written' not in app.out


def test_an_app_that_reads_no_answers_is_served_no_more(place):
    """Raw ZeroMQ: questions whose answers nobody takes."""
    vmi = partition_of(place.processes[0].pid)
    before = resident_mb(vmi)
    # READ_PA (68) of 8 MB: field 68 {1: 0, 2: 8388608}, field 126: 68
    question = bytes([0xA2, 0x04, 0x07, 0x08, 0x00, 0x10, 0x80, 0x80, 0x80, 0x04]) + bytes([0xF0, 0x07, 0x44])
    with zmq.Context() as context, context.socket(zmq.DEALER) as dealer:
        for option, value in (
            (zmq.IDENTITY, f'{ATTACKER}-r'.encode()),
            (zmq.LINGER, 0),
            (zmq.RCVHWM, 1),
            (zmq.RCVBUF, 4096),
        ):
            dealer.setsockopt(option, value)
        dealer.connect(f'ipc://{place.vmi_dir}/vmi_rtr')
        for _ in range(60):
            dealer.send_multipart([b'', question])
        time.sleep(2)
        assert 8 < resident_mb(vmi) - before < 45, 'MB: 16 may lie unread, and one answer more'


def test_a_sync_callback_that_hangs_holds_the_guest_for_the_watchdogs_time(described_cloud):
    made = described_cloud(
        'name = "hung"\n[[event]]\nkind = "syscall"\npid = 1\nnumber = 1\nat = 0.5\nevery = 0.2\ncount ='
        ' 1000\n'
    )
    vmi = made.start_vmi('--watchdog', '200')
    start_neighbour(made)
    app = made.start_app(
        '''
import fe, time
class App:
    def __init__(self, ctx):
        fe.event_register({'event_type': fe.SYSCALL, 'sync': fe.SYNC, 'callback': self.hang})
        fe.events_start()
    def hang(self, event):
        print('hangs', flush=True)
        time.sleep(1000)
''',
        app=ATTACKER,
    )
    app.wait_out('hangs', 20)
    vmi.wait_log('kept the guest paused for 200 ms after an event: the guest resumes')
    before = len(latencies(made))
    eventually(lambda: len(latencies(made)) > before + 5, 10, 'the neighbour')


def test_a_flood_of_output_is_cut_and_counted(place):
    app = start(
        place,
        '''
for _ in range(60):
    os.write(2, b'y' * 1_000_000)
fe.exit()
''',
    )
    assert app.wait_end(60) == 0, app.log[-2000:]
    assert len(app.log) < 20_000_000 and 'prints too much' in app.log


def test_another_apps_event_is_not_an_apps_to_clear(place):
    owner = place.start_app(
        '''
import fe
class App:
    def __init__(self, ctx):
        print(fe.event_register({'event_type': fe.REG, 'callback': print}), flush=True)
''',
        app='owner',
    )
    owner.wait_out(r'\d+')
    app = start(
        place,
        '''
try:
    fe.checked.event_clear({})
    print('cleared')
except fe.VmiError as error:
    print('refused:', error)
fe.exit()
'''.replace(
            '{}', owner.out.strip()
        ),
    )
    assert app.wait_end(20) == 0 and 'refused' in app.out, app.out + app.log


def test_an_answer_of_the_largest_reads_ends_no_partition(shared_guest, work):
    """Four reads of 16 MB in one message, beside the limit of memory that the partition has for all."""
    cloud = Cloud(work, shared_guest.name)
    vmi = cloud.start_vmi()
    try:
        neighbour = start_neighbour(cloud)
        neighbour.wait_out(r'\d')
        read = run_app(
            cloud,
            '''
largest = (1 << 24) - 1
batch = [{'type': 'READ_PA', 'label': str(i), 'args': {'paddr': 16 << 20, 'count': largest}} for i in range(4)]
for _ in range(3):
    answer = fe.batch(batch)
    show([any(isinstance(value, bytes) and len(value) == largest for value in answer[str(i)].values()) for i in range(4)])
''',
        )
        assert read == [[True, False, False, False]] * 3
        assert vmi.process.poll() is None and neighbour.process.poll() is None
    finally:
        cloud.stop()
