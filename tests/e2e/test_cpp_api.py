"""The C++ API of tenants: installed, built with CMake and with pkg-config, hosted by furnace-app and
furnace-backend.
"""

import re
import subprocess

import pytest

from furnace_testing import APP, BUILD, ROOT, run_app
from furnace_testing.compiler import COMPILE, compiled


@pytest.fixture(scope='module')
def installed(tmp_path_factory):
    """The prefix that `cmake --install` filled."""
    prefix = tmp_path_factory.mktemp('prefix')
    subprocess.run(['cmake', '--install', BUILD, '--prefix', prefix], check=True, capture_output=True)
    return prefix


def test_an_app_is_built_with_the_installed_cmake_package(installed, work):
    (work / 'CMakeLists.txt').write_text(
        'cmake_minimum_required(VERSION 3.25)\nproject(app CXX)\nfind_package(furnace 0.1'
        f' REQUIRED)\nadd_library(first MODULE {ROOT}/apps/first_cpp/app.cc)\ntarget_link_libraries(first'
        ' furnace::tenant)\n'
    )
    subprocess.run(
        ['cmake', '-S', work, '-B', work / 'b', f'-DCMAKE_PREFIX_PATH={installed}'],
        check=True,
        capture_output=True,
    )
    subprocess.run(['cmake', '--build', work / 'b'], check=True, capture_output=True)
    assert (work / 'b' / 'libfirst.so').exists()


def test_an_app_is_built_with_pkg_config_and_sees_what_python_sees(installed, work, cloud, shared_guest):
    flags = subprocess.run(
        ['pkg-config', '--cflags', 'furnace'],
        capture_output=True,
        text=True,
        check=True,
        env={'PKG_CONFIG_PATH': str(installed / 'lib' / 'pkgconfig'), 'PATH': '/usr/bin'},
    ).stdout.split()
    flags = [
        f'-I{installed}/include' if flag.startswith('-I') else flag for flag in flags
    ]  # the prefix is of this run
    subprocess.run(
        [*COMPILE, *flags, ROOT / 'apps' / 'first_cpp' / 'app.cc', '-o', work / 'app.so'], check=True
    )
    cloud.start_vmi()
    shared_guest.qmp('stop')
    try:
        (expected,) = run_app(cloud, "show([[pid, p['name']] for pid, p in fe.process_list().items()])")
        app = cloud.start_app(work / 'app')
        assert app.wait_end(20) == 0, app.log
    finally:
        shared_guest.qmp('cont')
    lines = app.out.splitlines()
    assert [line.split(' ', 1) for line in lines if not line.startswith('jiffies')] == [
        [str(pid), name] for pid, name in expected
    ]
    assert len([line for line in lines if re.fullmatch(r'jiffies: \d+', line)]) == 3


EVERYTHING = r'''
#include <furnace/kernel.h>

#include <cstdio>
#include <cstdlib>
#include <new>

using namespace furnace::tenant;

static size_t allocations = 0;
void* operator new(size_t size) { ++allocations; return std::malloc(size); }
void operator delete(void* memory) noexcept { std::free(memory); }
void operator delete(void* memory, size_t) noexcept { std::free(memory); }

struct ListHead { uint64_t next, prev; };

class Everything : public App {
 public:
  explicit Everything(Host& host) : host_(host) {
    const Gva variable = *host.symbol("furnace_variable");
    std::printf("%lx\n", *host.read<uint64_t>(variable));
    std::printf("%d\n", *host.read<uint64_t>(*host.translate(variable)) == *host.read<uint64_t>(variable));
    if (!host.write_value(variable, uint32_t{7})) return;
    std::printf("%lx\n", *host.read<uint64_t>(variable));
    const auto head = host.read<ListHead>(*host.symbol("modules"));
    std::printf("%d\n", head && head->next != 0);
    std::printf("%s\n", host.read<uint64_t>(Gva{8}).error().message.c_str());
    std::printf("%s\n", host.symbol("nosuch").error().message.c_str());

    auto kernel = Kernel::of(host);
    const size_t before = allocations;
    size_t tasks = 0, modules = 0;
    auto list = kernel->tasks();
    for (const Task& task : list) tasks += task.name().size() != 0;
    auto loaded = *kernel->list(*host.symbol("modules"), "module", "list");
    for (int i = 0; i < 100; ++i) (void)*host.read<uint64_t>(variable);
    std::printf("%zu tasks, %zu allocations\n", tasks, allocations - before);
    for (const Gva module : loaded) modules += module.value != 0;
    std::printf("%zu modules\n", modules);

    uint64_t first = 0, second = 0;
    std::array<Read, 2> reads{Read{variable, std::as_writable_bytes(std::span(&first, 1))},
                              Read{Gva{8}, std::as_writable_bytes(std::span(&second, 1))}};
    const bool done = host.read_many(reads).has_value();
    std::printf("%d %zu %zu %lx\n", done, reads[0].got, reads[1].got, first);
    const std::array<Argument, 1> argument{std::string_view("linux_name")};
    std::printf("%d\n", std::get<uint64_t>(*host.call("get_offset", argument)) == *host.offset("task_struct", "comm"));
    std::printf("%lx\n", *host.vcpu_register("cr0"));
    std::printf("%s %s\n", std::string(host.app_id()).c_str(), std::string(host.metadata()).c_str());
    EventRequest syscalls{.kind = EventKind::Syscall, .sync = true};
    event_ = *host.on_event(syscalls, [this](const Event& event) {
      std::printf("syscall %lu by %.*s(%d): %lu %lu\n", event.rax, int(event.process.size()), event.process.data(), int(event.pid), event.rdi, event.r9);
      if (++seen_ < 3) return;
      std::printf("%d\n", host_.clear_event(event_).has_value());
      std::printf("%s\n", host_.clear_event(event_).error().message.c_str());
      host_.add_timer(0.05, [this] { host_.exit(); });
    });
  }
  void shutdown() override { std::printf("shutdown\n"); }

 private:
  Host& host_;
  uint64_t event_ = 0;
  int seen_ = 0;
};
FURNACE_APP(Everything)
'''

GUEST = '''
[[task]]
pid = 1
name = "init"
[[task]]
pid = 40
parent = 1
name = "worker"
[[module]]
name = "ext4"
[[module]]
name = "loop"
[[symbol]]
name = "furnace_variable"
value = "0x1122334455667788"
[[event]]
kind = "syscall"
at = 0.1
every = 0.02
count = 1000
pid = 40
number = 39
arguments = [11, 12, 13, 14, 15, 16]
'''


BY_CALLS = r'''
#include <furnace/calls.h>
#include <cstdio>
using namespace furnace::tenant;

class ByCalls : public App {
 public:
  explicit ByCalls(Host& host) {
    const Gva variable{*calls::lookup_symbol(host, "furnace_variable")};
    std::printf("%lx %s\n", *calls::read_64_va(host, variable, Pid::Kernel), calls::get_name(host)->c_str());
    std::printf("%d\n", calls::write_64_va(host, variable, Pid::Kernel, 5).has_value());
    const Gpa physical{*calls::translate_kv2p(host, variable)};
    std::printf("%lu %zu\n", *calls::read_64_pa(host, physical), calls::read_pa(host, physical, 16)->size());
    std::printf("%d\n", *calls::get_vcpureg(host, "cr3") == *calls::get_vcpureg(host, "cr3", 0));
    std::printf("%d\n", calls::process_list(host)->size() > 1);
    const auto failed = calls::read_str_va(host, Gva{8}, Pid{-1});
    std::printf("%d %s\n", failed.error().code == ErrorCode::NotFound, failed.error().message.c_str());
    host.exit();
  }
};
FURNACE_APP(ByCalls)
'''


def test_each_call_is_a_function(described_cloud, work):
    cloud = described_cloud(GUEST)
    cloud.start_vmi()
    app = cloud.start_app(compiled(work, 'by_calls', BY_CALLS))
    assert app.wait_end(20) == 0, app.log
    lines = app.out.splitlines()
    assert re.fullmatch('1122334455667788 .+', lines[0])
    assert lines[1:5] == ['1', '5 16', '1', '1']
    assert lines[5].startswith('1 read_str_va(vaddr=0x8, pid=-1'), lines[5]


def test_the_whole_api_on_the_simulator(described_cloud, work):
    cloud = described_cloud(GUEST)
    cloud.start_vmi()
    app = cloud.start_app(compiled(work, 'everything', EVERYTHING), metadata='meta')
    assert app.wait_end(20) == 0, app.log
    lines = app.out.splitlines()
    assert lines[:4] == ['1122334455667788', '1', '1122334400000007', '1']
    assert (
        lines[4]
        == 'read_va(vaddr=0x8, pid=0, count=8): virtual address 0x8 is not mapped (level 4 entry is empty)'
    )
    assert "no kernel symbol 'nosuch'" in lines[5]
    assert lines[6:8] == ['2 tasks, 0 allocations', '2 modules']
    assert lines[8:12] == ['1 8 0 1122334400000007', '1', '80050033', f'{APP} meta']
    assert lines[12:15] == ['syscall 39 by worker(40): 11 16'] * 3
    assert lines[15] == '1' and 'this app has no event 1' in lines[16]
    assert lines[17:] == ['shutdown']


BACKEND = r'''
#include <furnace/backend.h>

#include <stdexcept>

using namespace furnace::tenant;

class Echo : public Backend {
 public:
  explicit Echo(BackendHost& host) {
    host.on_message([&host](const Message& message) -> Result<std::string> {
      if (message.text == "throw") throw std::runtime_error("thrown");
      if (message.text == "fail") return tl::unexpected<Error>(Error{"failed"});
      if (!message.wants_answer) (void)host.notify(message.app, "told " + std::string(message.text));
      return "echo " + std::string(message.text);
    });
  }
};
FURNACE_BACKEND(Echo)
'''

TALKER = r'''
#include <furnace/app.h>

#include <cstdio>

using namespace furnace::tenant;

class Talker : public App {
 public:
  explicit Talker(Host& host) {
    std::printf("%s\n", host.request("hello")->c_str());
    std::printf("%d %d\n", host.request("throw").has_value(), host.request("fail").has_value());
    const bool stored = host.store("key", "value").has_value();
    std::printf("%d %s\n", stored, host.load("key")->c_str());
    std::printf("%s\n", host.load("nothing").error().message.c_str());
    for (const double seconds : {0.0, -1.0, 86400.5, 0.0 / 0.0, 1e300})
      if (host.request("hello", seconds).error().code != ErrorCode::Invalid) std::printf("%f was accepted\n", seconds);
    std::printf("%s\n", host.request("hello", -1).error().message.c_str());
    host.on_backend_message([&host](std::string_view text, bool broadcast) {
      std::printf("%.*s %d\n", int(text.size()), text.data(), broadcast);
      host.exit();
    });
    (void)host.notify("one way");
  }
};
FURNACE_APP(Talker)
'''


def test_backend_and_storage_in_cpp(work, sim_cloud):
    sim_cloud.start_vmi()
    sim_cloud.start_backend(compiled(work, 'echo', BACKEND))
    sim_cloud.start_proxy()
    sim_cloud.start_fac()
    app = sim_cloud.start_app(compiled(work, 'talker', TALKER))
    assert app.wait_end(20) == 0, app.log
    lines = app.out.splitlines()
    assert lines[:3] == ['echo hello', '0 0', '1 value']
    assert "'nothing'" in lines[3]
    assert lines[4] == "request: 'timeout' is -1: expected seconds above 0, at most a day"
    assert lines[5] == 'told one way 0'


@pytest.mark.parametrize(
    'code, expected',
    [
        ('int nothing;', 'exports no furnace_app_make'),
        (
            (
                '#include <furnace/app.h>\nextern "C" const uint32_t furnace_app_abi'
                ' __attribute__((visibility("default"))) = 99;\nextern "C" void furnace_app_make() {}'
            ),
            'built for version 99 of the API, this is 4',
        ),
        (
            (
                '#include <furnace/app.h>\n#include <stdexcept>\nstruct A : furnace::tenant::App { explicit'
                ' A(furnace::tenant::Host&) { throw std::runtime_error("no luck"); } };\nFURNACE_APP(A)'
            ),
            'no luck',
        ),
    ],
)
def test_bad_shared_objects_are_refused(work, sim_cloud, code, expected):
    sim_cloud.start_vmi()
    app = sim_cloud.start_app(compiled(work, 'bad', code))
    assert app.wait_end(20) == 4 and expected in app.log, app.log


def test_a_file_that_is_no_shared_object_is_refused(work, sim_cloud):
    sim_cloud.start_vmi()
    (work / 'text.so').write_text('hello')
    app = sim_cloud.start_app(work / 'text')
    assert app.wait_end(20) == 4 and 'text.so' in app.log, app.log


CRASHES = r'''
#include <furnace/app.h>
struct Crashing : furnace::tenant::App {
  explicit Crashing(furnace::tenant::Host&) {
    volatile int* nothing = nullptr;
    *nothing = 1;
  }
};
FURNACE_APP(Crashing)
'''


def test_a_crash_report_names_signal_and_place(work, sim_cloud):
    sim_cloud.start_vmi()
    app = sim_cloud.start_app(compiled(work, 'crashing', CRASHES))
    assert app.wait_end() == 139
    assert re.search(
        r'the app crashed: SIGSEGV .* at \S+crashing\.so\+0x[0-9a-f]+ in \S+, address 0x0', app.log + app.out
    ), app.log


@pytest.mark.parametrize(
    'statement, expected',
    [
        ('abort();', r'abort\(\) at \S+ending\.so\+0x[0-9a-f]+'),
        (
            'std::thread([] { throw std::out_of_range("no such place"); }).join();',
            'an uncaught exception: std::out_of_range: no such place',
        ),
        ('std::thread([] { throw 5; }).join();', 'an uncaught exception: int'),
    ],
    ids=['abort', 'exception', 'exception-that-is-a-number'],
)
def test_an_app_that_aborts_reports_how(work, sim_cloud, statement, expected):
    sim_cloud.start_vmi()
    app = sim_cloud.start_app(
        compiled(
            work,
            'ending',
            f'''
#include <furnace/app.h>
#include <cstdlib>
#include <stdexcept>
#include <thread>
struct Ending : furnace::tenant::App {{ explicit Ending(furnace::tenant::Host&) {{ {statement} }} }};
FURNACE_APP(Ending)
''',
        )
    )
    assert app.wait_end() == 134, app.log
    assert re.search('the app crashed: ' + expected, app.log + app.out), app.log


def test_an_overflow_of_the_stack_is_reported(work, sim_cloud):
    sim_cloud.start_vmi()
    app = sim_cloud.start_app(
        compiled(
            work,
            'deep',
            r'''
#include <furnace/app.h>
int deeper(volatile int* above) {
  if (*above < 0) return 0;
  volatile int room[1000];
  room[0] = *above + 1;
  return deeper(room) + room[0];
}
struct Deep : furnace::tenant::App {
  explicit Deep(furnace::tenant::Host& host) { volatile int depth = 0; host.log(deeper(&depth) != 0 ? "up" : "down"); }
};
FURNACE_APP(Deep)
''',
        )
    )
    assert app.wait_end() == 139, app.log
    assert re.search(
        (
            r'the app crashed: SIGSEGV .* at \S+deep\.so\S+( in \S+)?, address 0x[0-9a-f]+: its stack has'
            r' overflowed'
        ),
        app.log,
    ), app.log
