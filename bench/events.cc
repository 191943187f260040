// Events of a busy guest through QEMU's gdb stub, beside a bare loop on the same stub.
// Usage: bench-events VM QMP-SOCKET            events/s (QMP-SOCKET: a second one, for the bare loop)
//        bench-events VM QMP-SOCKET hold-bare  sets a breakpoint that is never hit, and waits for the end of
//        its input bench-events VM QMP-SOCKET hold
#include <poll.h>
#include <unistd.h>

#include "base/log.h"
#include "guest/linux/trace.h"
#include "hypervisor/drivers.h"
#include "hypervisor/qemu/stub.h"
#include "samples.h"
#include "vmi/machine.h"

namespace furnace {
namespace {

using hypervisor::EventKind;
using hypervisor::EventSource;
using hypervisor::Qmp;
using hypervisor::Stub;
using hypervisor::StubPoint;
using hypervisor::Watch;

constexpr int kRounds = 3, kHits = 150, kCalls = 5000;

double per_second(int count, double microseconds) {
  return count * 1e6 / microseconds;
}

Result<Stub> open_bare(Qmp& qmp) {
  FURNACE_TRY(auto ends, socket_pair());
  return Stub::open(qmp, std::move(ends.first), ends.second);
}

Result<hypervisor::Stop> wait_stop(Stub& stub) {
  while (true) {
    FURNACE_TRY(const auto stop, stub.poll_stop());
    if (stop) return *stop;
    pollfd waiting{stub.descriptor(), POLLIN, 0};
    ::poll(&waiting, 1, 1000);
  }
}

/// Stop, read pc, step over, continue.
Result<double> bare_breakpoints(Qmp& qmp, uint64_t address) {
  FURNACE_TRY(Stub stub, open_bare(qmp));
  FURNACE_CHECK(stub.insert({StubPoint::Kind::Breakpoint, address, 1}));
  FURNACE_CHECK(stub.run());
  double took = 0;
  Status done;
  took = bench::microseconds([&] {
    done = [&]() -> Status {
      for (int i = 0; i < kHits; ++i) {
        FURNACE_TRY(const auto stop, wait_stop(stub));
        FURNACE_TRY([[maybe_unused]] const hypervisor::Registers registers, stub.registers(stop.vcpu));
        if (auto stepped = stub.step(stop.vcpu); !stepped) return tl::unexpected<Error>(stepped.error());
        FURNACE_CHECK(stub.run());
      }
      return {};
    }();
  });
  if (stub.running()) (void)stub.interrupt();
  (void)stub.close(qmp, true);
  if (!done) return tl::unexpected<Error>(done.error());
  return per_second(kHits, took);
}

Result<double> watched(hypervisor::Hypervisor& driver, const std::vector<Watch>& watches, int count) {
  EventSource& source = *driver.events();
  std::vector<uint64_t> numbers;
  for (const Watch& watch : watches) {
    FURNACE_TRY(const uint64_t number, source.watch(watch));
    numbers.push_back(number);
  }
  int seen = 0;
  const double took = bench::microseconds([&] {
    while (seen < count) {
      std::vector<pollfd> items;
      for (const int descriptor : driver.descriptors()) items.push_back({descriptor, POLLIN, 0});
      ::poll(items.data(), items.size(), 1000);
      driver.poll();
      seen += static_cast<int>(source.take().size());
      source.proceed();
    }
  });
  for (const uint64_t number : numbers) FURNACE_CHECK(source.unwatch(number));
  return per_second(seen, took);
}

Status measure(vmi::Machine& machine, Qmp& qmp) {
  FURNACE_TRY(const guest::Kernel* kernel, machine.kernel());
  FURNACE_TRY(const guest::LinuxGuest* guest, machine.linux_guest());
  FURNACE_TRY(const guest::Gva function, kernel->symbol("__x64_sys_getppid"));
  std::vector<double> bare, ours, syscalls, by_breakpoint;
  const auto watches_of = [&](bool watched_writes) -> Result<std::vector<Watch>> {
    std::vector<Watch> watches;
    FURNACE_TRY(const auto points, guest::trace_points(*kernel, *guest, guest::Trace::SyscallEntry,
                                                       machine.hypervisor().vcpus(), watched_writes));
    watches.reserve(points.size());
    for (const auto& point : points)
      watches.push_back({point.length == 0 ? EventKind::Breakpoint : EventKind::MemoryAccess,
                         point.address,
                         point.length,
                         hypervisor::kAccessWrite,
                         {},
                         point.after});
    return watches;
  };
  FURNACE_TRY(const auto cheap, watches_of(true));
  FURNACE_TRY(const auto dear, watches_of(false));
  for (int i = 0; i < kRounds; ++i) {
    FURNACE_TRY(bare.emplace_back(), bare_breakpoints(qmp, function.value));
    FURNACE_TRY(ours.emplace_back(),
                watched(machine.hypervisor(), {{EventKind::Breakpoint, function, 0, 0, {}, {}}}, kHits));
    FURNACE_TRY(by_breakpoint.emplace_back(), watched(machine.hypervisor(), dear, kHits));
    FURNACE_TRY(syscalls.emplace_back(), watched(machine.hypervisor(), cheap, kCalls));
  }
  fmt::print(
      "breakpoint on a kernel function: {:.0f} events/s; bare loop on the same stub {:.0f}/s ({:.2f}x)\n",
      bench::median(ours), bench::median(bare), bench::median(ours) / bench::median(bare));
  fmt::print("system calls by watched writes: {:.0f} events/s; by breakpoints {:.0f}/s ({:.0f}x)\n",
             bench::median(syscalls), bench::median(by_breakpoint),
             bench::median(syscalls) / bench::median(by_breakpoint));
  return {};
}

Status hold(vmi::Machine& machine, Qmp& qmp, bool bare) {
  FURNACE_TRY(const guest::Kernel* kernel, machine.kernel());
  FURNACE_TRY(const guest::Gva never, kernel->symbol("do_init_module"));
  char end = 0;
  if (bare) {
    FURNACE_TRY(Stub stub, open_bare(qmp));
    FURNACE_CHECK(stub.insert({StubPoint::Kind::Breakpoint, never.value, 1}));
    FURNACE_CHECK(stub.run());
    (void)!::read(STDIN_FILENO, &end, 1);
    (void)stub.interrupt();
    (void)stub.close(qmp, true);
    return {};
  }
  FURNACE_TRY(const uint64_t number,
              machine.hypervisor().events()->watch({EventKind::Breakpoint, never, 0, 0, {}, {}}));
  (void)!::read(STDIN_FILENO, &end, 1);
  return machine.hypervisor().events()->unwatch(number);
}

Status run(const std::vector<std::string>& arguments) {
  if (arguments.size() < 2) return fail(Errc::Invalid, "usage: bench-events VM QMP-SOCKET [hold-bare|hold]");
  FURNACE_TRY(auto driver, hypervisor::attach(arguments[0]));
  FURNACE_TRY(Qmp qmp, Qmp::connect(arguments[1]));
  vmi::Machine machine(std::move(driver), nullptr);
  if (arguments.size() > 2) return hold(machine, qmp, arguments[2] == "hold-bare");
  return measure(machine, qmp);
}

}  // namespace
}  // namespace furnace

int main(int argc, char** argv) {
  furnace::log::start({.program = "bench-events", .level = furnace::log::Level::Warning});
  if (auto done = furnace::run({argv + 1, argv + argc}); !done) {
    fmt::print(stderr, "{}\n", done.error().message());
    return 1;
  }
  return 0;
}
