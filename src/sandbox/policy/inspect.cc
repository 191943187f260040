#include "sandbox/policy/inspect.h"

#include <poll.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <csignal>

#include "base/command.h"
#include "base/signals.h"
#include "sandbox/policy/filter.h"
#include "sandbox/policy/launch.h"
#include "sandbox/policy/process_tree.h"

namespace furnace::policy {
namespace {

/// Takes the exit states of what has ended; true once the program itself has.
bool reap(pid_t program, Ended& ended) {
  int status = 0;
  bool found = false;
  for (pid_t child = 0; (child = ::waitpid(-1, &status, WNOHANG)) > 0;)
    if (child == program) {
      ended.exit_code = exit_code_of(status);
      found = true;
    }
  return found;
}

}  // namespace

Result<Ended> inspect(const Policy& policy, const std::vector<std::string>& command,
                      CallSupervisor::Options options) {
  FURNACE_TRY(const auto filter, compile(policy));
  adopt_orphans();
  FURNACE_TRY(Started started, start_under(filter, command));
  const auto check_executed = [&]() -> Status {
    errno = started.handshake->exec_error.load(std::memory_order_acquire);
    if (errno != 0) return fail_errno("{}", command.front());
    return {};
  };
  FURNACE_TRY(const Fd stop, stop_signals());
  const Fd program(static_cast<int>(::syscall(SYS_pidfd_open, started.program, 0)));
  CallSupervisor supervisor(std::move(started.listener), policy, started.program, std::move(options));
  Ended ended;
  enum : size_t { kCalls, kStop, kProgram };
  std::array<pollfd, 3> items{pollfd{supervisor.descriptor(), POLLIN, 0}, pollfd{stop.get(), POLLIN, 0},
                              pollfd{program.get(), POLLIN, 0}};
  constexpr int between_looks = 1000;  // ms: for processes whose parents ended before them
  while (true) {
    if (::poll(items.data(), items.size(), between_looks) < 0 && errno != EINTR) return fail_errno("poll");
    if ((items[kCalls].revents & POLLIN) != 0) {
      FURNACE_TRY(const bool goes_on, supervisor.handle());
      if (!goes_on) {
        kill_descendants(0);
        FURNACE_CHECK(check_executed());
        return Ended{exit_code_of(SIGSYS), true};
      }
    }
    if (items[kStop].revents != 0) {
      ::kill(started.program, stop_signal());
      items[kStop].fd = -1;
    }
    const bool calls_wait = (items[kCalls].revents & POLLIN) != 0;
    if (!calls_wait && reap(started.program, ended)) items[kProgram].fd = -1;
    // No process is left under the filter.
    if ((items[kCalls].revents & POLLHUP) != 0 && !calls_wait) break;
  }
  if (items[kProgram].fd != -1) {
    int status = 0;
    if (::waitpid(started.program, &status, 0) == started.program) ended.exit_code = exit_code_of(status);
  }
  FURNACE_CHECK(check_executed());
  return ended;
}

}  // namespace furnace::policy
