"""Nothing waits for ever in silence: each wait of an app on a partition is reported, and has an end that the
app can catch.
"""

import os
import signal

from furnace_testing import APP, APPS, Cloud, partition_of
from furnace_testing.compiler import compiled

GONE = 3  # the exit code of an app whose VMI partition has ended for good


def start(sim, code, *flags, name=APP):
    return sim.start('app', *sim.app_arguments(code, app=name), *flags)


def test_without_a_fac_partition_calls_end_with_an_error_and_are_reported_meanwhile(sim_cloud):
    sim_cloud.start_vmi()
    app = start(
        sim_cloud,
        '''
import fe, time
class App:
    def __init__(self, ctx):
        first = fe.notify('waits for a FAC partition that may come')
        try: fe.io_get('key')
        except fe.Unavailable as error: print('io_get:', error, flush=True)
        print('notify', first, fe.notify('nobody has come'), flush=True)
        try: fe.notify('nobody has come', raises=True)
        except fe.Unavailable as error: print('raises:', error, flush=True)
        fe.exit()
''',
    )
    assert app.wait_end(60) == 0, app.log
    assert (
        'io_get: io_get: the FAC partition: ipc:///opt/furnace/fac_socket/fac_rtr: no answer within 30 s: '
        in app.out
    )
    assert 'notify True False' in app.out
    assert (
        'raises: notify: /opt/furnace/fac_socket/fac_rtr: there has been no FAC partition for 30 s; start one'
        ' there' in app.out
    )
    for seconds in (2, 4, 8, 16):
        assert f'io_get has waited for an answer for {seconds} s, and gives up after 30 s' in app.log
        assert f'there has been no FAC partition for {seconds} s; what was sent waits for one' in app.log


def test_a_fac_partition_that_ends_is_reported_and_waited_for(sim_cloud):
    sim_cloud.start_vmi()
    fac = sim_cloud.start_fac()
    app = start(
        sim_cloud,
        '''
import fe, time
class App:
    def __init__(self, ctx):
        fe.io_set('key', 'value')
        print('stored', flush=True)
        fe.event_register({'event_type': fe.TIMER, 'time_value': 0.2, 'callback': self.tick})
    def tick(self, ctx):
        fe.notify('tick')
        try: print(fe.io_get('key'), flush=True)
        except fe.Unavailable as error: print(error, flush=True)
''',
    )
    app.wait_out('stored\nvalue')
    os.kill(partition_of(fac.pid), signal.SIGKILL)
    app.wait_log('io_get has waited for an answer for 2 s')
    app.wait_log('there has been no FAC partition for 2 s')
    sim_cloud.start_fac()
    app.wait_log('a FAC partition is there again after')
    before = app.out.count('value')
    app.wait_out('(value\n){%d}' % (before + 2))
    assert app.stop() == 0


def test_an_app_continues_when_its_vmi_partition_is_started_again_in_time(sim_cloud):
    vmi = sim_cloud.start_vmi()
    app = start(sim_cloud, APPS / 'ticking')
    app.wait_out('tick')
    vmi.stop()
    app.wait_log(
        r'there has been no VMI partition for 2 s; the app ends if none serves there within 30 s'
        r' \(--wait-for-vm\)'
    )
    sim_cloud.start_vmi()
    app.wait_log('a VMI partition is there again after')
    assert app.process.poll() is None
    assert app.stop() == 0


def test_an_app_exits_with_its_own_code_when_its_vmi_partition_has_exited(sim_cloud):
    vmi = sim_cloud.start_vmi()
    app = start(sim_cloud, APPS / 'ticking', '--wait-for-vm', 3)
    app.wait_out('tick')
    os.kill(partition_of(vmi.pid), signal.SIGKILL)
    assert app.wait_end(20) == GONE
    assert app.out.endswith('cleaned up\n')
    assert (
        'error: /opt/furnace/vmi_socket/vmi_rtr: there has been no VMI partition for 3 s; start one there'
        ' (furnace vmi), or let the app wait longer (--wait-for-vm SECONDS; 0: no limit)' in app.log
    )


def test_an_app_in_a_loop_of_its_own_learns_of_the_end_by_one_exception_that_it_can_catch(sim_cloud):
    vmi = sim_cloud.start_vmi()
    app = start(
        sim_cloud,
        '''
import fe, time
class App:
    def __init__(self, ctx):
        print('up', flush=True)
        try:
            while True: time.sleep(0.1)
        except fe.Unavailable as error:
            print('told:', error, flush=True)
        time.sleep(0.5)
        try: fe.read_64_va(1, 0)
        except fe.Unavailable as error: print('and a call:', error, flush=True)
    def shutdown(self):
        print('cleaned up', flush=True)
''',
        '--wait-for-vm',
        2,
    )
    app.wait_out('up')
    vmi.stop()
    assert app.wait_end(20) == GONE
    reason = '/opt/furnace/vmi_socket/vmi_rtr: there has been no VMI partition for 2 s; start one there'
    assert f'told: {reason}' in app.out and 'and a call: read_64_va(vaddr=0x1, pid=0): /opt/' in app.out
    assert app.out.endswith('cleaned up\n')


def test_a_call_that_waits_is_ended_too(sim_cloud):
    vmi = sim_cloud.start_vmi()
    app = start(
        sim_cloud,
        '''
import fe, time
class App:
    def __init__(self, ctx):
        print('up', flush=True)
        try:
            while True: fe.batch([{'type': 'READ_64_VA', 'args': {'vaddr': fe.lookup_symbol('init_task'), 'pid': 0}}])
        except fe.Unavailable as error: print('told:', error, flush=True)
''',
        '--wait-for-vm',
        5,
    )
    app.wait_out('up')
    vmi.stop()
    assert app.wait_end(30) == GONE
    assert 'has waited for an answer for 2 s' in app.log and 'told: ' in app.out


def test_an_app_that_ignores_the_end_is_ended(sim_cloud):
    vmi = sim_cloud.start_vmi()
    app = start(
        sim_cloud,
        '''
import fe, time
class App:
    def __init__(self, ctx):
        print('up', flush=True)
        while True:
            try: time.sleep(0.1)
            except Exception: pass
''',
        '--wait-for-vm',
        1,
    )
    app.wait_out('up')
    vmi.stop()
    assert app.wait_end(40) == GONE
    assert 'the app did not end by itself within 10 s' in app.log


def test_an_app_waits_forever_if_it_is_asked_to(sim_cloud):
    vmi = sim_cloud.start_vmi()
    app = start(sim_cloud, APPS / 'ticking', '--wait-for-vm', 0)
    app.wait_out('tick')
    vmi.stop()
    app.wait_log(r'there has been no VMI partition for 32 s; the app waits for one \(--wait-for-vm 0\)', 40)
    assert app.process.poll() is None
    sim_cloud.start_vmi()
    app.wait_log('a VMI partition is there again after')
    assert app.stop() == 0


def test_an_app_that_asks_nothing_of_the_vm_needs_no_vmi_partition(sim_cloud):
    app = start(
        sim_cloud,
        (
            "import fe\nclass App:\n    def __init__(self, ctx):\n        fe.event_register({'event_type':"
            " fe.TIMER, 'time_value': 4, 'callback': lambda _: fe.exit()})\n"
        ),
        '--wait-for-vm',
        1,
    )
    assert app.wait_end(20) == 0
    assert 'there has been no VMI partition' not in app.log


def test_the_end_of_the_vm_ends_its_apps(own_guest, work):
    cloud = Cloud(work, own_guest.name)
    cloud.start_vmi()
    app = start(cloud, APPS / 'ticking', '--wait-for-vm', 2)
    app.wait_out('tick')
    own_guest.stop()
    assert app.wait_end(30) == GONE, app.log
    assert app.out.endswith('cleaned up\n')


def test_a_cpp_app_gets_the_error_of_a_call_and_ends_with_the_code(sim_cloud, work):
    vmi = sim_cloud.start_vmi()
    library = compiled(
        work,
        'waiting',
        '''
#include <furnace/app.h>
class Waiting : public furnace::tenant::App {
 public:
  explicit Waiting(furnace::tenant::Host& host) : host_(host) {
    host_.add_timer(0.1, [this] {
      if (const auto read = host_.symbol("init_task"); !read) host_.log("said: " + read.error().message);
      else if (!up_) host_.log("up");
      up_ = true;
    });
  }
  void shutdown() override { host_.log("cleaned up"); }
 private:
  furnace::tenant::Host& host_;
  bool up_ = false;
};
FURNACE_APP(Waiting)
''',
    )
    app = sim_cloud.start('app', '-c', library, '--u2', APP, '--vmi', sim_cloud.vmi_dir, '--wait-for-vm', 4)
    app.wait_log('up')
    vmi.stop()
    assert app.wait_end(20) == GONE, app.log
    assert 'lookup_symbol has waited for an answer for 2 s' in app.log
    assert (
        "said: lookup_symbol(symbol_name='init_task'): /opt/furnace/vmi_socket/vmi_rtr: there has been no VMI"
        " partition" in app.log
    )
    assert 'cleaned up' in app.log


def test_an_app_learns_that_its_events_ended_with_the_vmi_partition(sim_cloud):
    vmi = sim_cloud.start_vmi()
    app = start(
        sim_cloud,
        '''
import fe
class App:
    def __init__(self, ctx):
        self.register('first')
        fe.start_syscall(print)
        print('up', flush=True)
    def register(self, name):
        fe.event_register({'event_type': fe.SYSCALL, 'number': 'openat', 'callback': lambda _: print('event of', name, flush=True),
                           'on_end': self.lost})
        fe.events_start()
    def lost(self, reason):
        print('lost:', reason, flush=True)
        self.register('second')
''',
    )
    app.wait_out('up')
    vmi.stop()
    sim_cloud.start_vmi()
    app.wait_out('lost: the connection to the VMI partition was lost, and with it what was registered there')
    app.wait_log('event .* has ended: the connection to the VMI partition was lost')
    assert app.stop() == 0
    assert app.out.count('lost:') == 1
