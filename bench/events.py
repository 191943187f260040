"""Rates of events on a live, busy guest, each beside its floor. Usage: events.py  (after a build; starts its
own VM)
"""

import os
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / 'tests'))
from furnace_testing import RUN, Cloud, remove_run, start_guest  # noqa: E402

COUNTER = '''
import fe, time
class App:
    def __init__(self, ctx):
        self.count = 0
        fe.event_register({'event_type': fe.SYSCALL, 'callback': self.tell})
        fe.events_start()
        self.start, self.cpu = time.monotonic(), time.process_time()
        fe.event_register({'event_type': fe.TIMER, 'time_value': 4.0, 'callback': self.end})
    def tell(self, event):
        self.count += 1
    def end(self, ctx):
        seconds, cpu = time.monotonic() - self.start, time.process_time() - self.cpu
        print(f'{self.count / seconds:.0f} {self.count / cpu:.0f}', flush=True)
        fe.exit()
'''
NATIVE = '''
#include <furnace/app.h>
#include <cstdio>
#include <ctime>
using namespace furnace::tenant;
struct Counter : App {
  explicit Counter(Host& host) : host_(host) {
    (void)host.on_event({.kind = EventKind::Syscall}, [this](const Event& event) { count_ += event.syscall + 1 != 0; });
    (void)host.events_start();
    start_ = std::clock();
    host.add_timer(4.0, [this] {
      std::printf("%.0f %.0f\\n", count_ / 4.0, count_ / (double(std::clock() - start_) / CLOCKS_PER_SEC));
      std::fflush(stdout);
      host_.exit();
    });
  }
  Host& host_;
  double count_ = 0;
  std::clock_t start_ = 0;
};
FURNACE_APP(Counter)
'''

# A simulated guest that makes system calls faster than any app takes them.
FLOOD = (
    '''name = "flood"
[[task]]
pid = 1
name = "init"
'''
    + '''[[event]]
kind = "syscall"
every = 0.0001
at = 0.5
count = 10000000
pid = 1
number = 257
'''
    * 12
)


def rates(cloud, work):
    """(events/s, events for each second of the app's CPU time) of a Python and of a C++ app."""
    source = work / 'native.cc'
    source.write_text(NATIVE)
    subprocess.run(
        [
            'g++',
            '-std=c++20',
            '-O2',
            '-shared',
            '-fPIC',
            f'-I{ROOT}/include',
            source,
            '-o',
            work / 'native.so',
        ],
        check=True,
    )
    result = {}
    for name, code in (('Python', COUNTER), ('C++', work / 'native')):
        app = cloud.start_app(code)
        app.wait_end(30)
        result[name] = [int(number) for number in app.out.split()]
    return result


def compare_languages(work):
    """What the apps reach when events come faster than they can be taken."""
    guest = work / 'flood.toml'
    guest.write_text(FLOOD)
    cloud = Cloud(work / 'flood', guest, 'simulator')
    try:
        cloud.start_vmi()
        found = rates(cloud, work)
    finally:
        cloud.stop()
    for name, (rate, busy) in found.items():
        print(
            f'system calls of a simulated guest delivered to a {name} app: {rate} events/s; one CPU of it'
            f' would handle {busy}/s'
        )
    print(f'C++ handles {found["C++"][1] / found["Python"][1]:.1f}x of what Python does', flush=True)


def duration(guest):
    """Seconds that a computation takes in the guest."""
    start = time.monotonic()
    guest.run('/tmp/witness s 400')
    return time.monotonic() - start


def main():
    work = Path(RUN) / 'bench'
    work.mkdir(parents=True)
    compare_languages(work)
    guest = start_guest()
    cloud = Cloud(work, guest.name)
    bench = [str(ROOT / 'build' / 'bin' / 'bench-events'), guest.name, str(guest.directory / 'qmp2')]
    try:
        binary = work / 'witness'
        subprocess.run(
            [
                'gcc',
                '-O1',
                '-s',
                '-static',
                '-nostdlib',
                '-fno-stack-protector',
                '-o',
                binary,
                ROOT / 'tests' / 'e2e' / 'witness.c',
            ],
            check=True,
        )
        guest.push('/tmp/witness', binary.read_bytes())
        guest.run('chmod +x /tmp/witness')
        times = {'no': [], 'hold-bare': [], 'hold': []}
        for _ in range(3):
            for kind, taken in times.items():
                holder = None
                if kind != 'no':
                    holder = subprocess.Popen(
                        [*bench, kind], stdin=subprocess.PIPE, env={**os.environ, 'FURNACE_RUN': RUN}
                    )
                    time.sleep(1)
                taken.append(duration(guest))
                if holder:
                    holder.communicate(b'\n')
        middle = {kind: sorted(taken)[1] for kind, taken in times.items()}
        print(
            (
                f'busy guest with a breakpoint that is not hit: {middle["hold"] / middle["no"]:.2f}x of its'
                f' time without; a bare stub\'s: {middle["hold-bare"] / middle["no"]:.2f}x'
            ),
            flush=True,
        )
        guest.run('(while :; do /tmp/witness g 100000; done) > /dev/null 2>&1 & true')
        subprocess.run(bench, check=True, env={**os.environ, 'FURNACE_RUN': RUN})
        cloud.start_vmi()
        for name, (rate, _) in rates(cloud, work).items():
            print(f'system calls delivered to a {name} app: {rate} events/s', flush=True)
    finally:
        cloud.stop()
        guest.stop()
        remove_run()


main()
