#include "sandbox/policy/checked_exec.h"

#include <sys/ptrace.h>
#include <sys/wait.h>

#include <cerrno>
#include <csignal>
#include <ctime>

#include "sandbox/policy/lookup.h"

namespace furnace::policy {

CheckedExec::CheckedExec(pid_t thread) : thread_(thread) {
  attached_ = ::ptrace(PTRACE_SEIZE, thread, nullptr, PTRACE_O_TRACEEXEC) == 0;  // NOLINT: variadic
}

std::optional<std::string> CheckedExec::finish() {
  // The kernel checks for signals when a call returns: after the execve, whether it succeeded or not.
  ::ptrace(PTRACE_INTERRUPT, thread_, nullptr, nullptr);  // NOLINT: variadic
  // A thread that is not the process's first takes its number.
  const auto identity = Target(thread_).identity();
  const pid_t process = identity ? identity->process : thread_;
  constexpr timespec moment{0, 200'000};
  while (true) {
    for (const pid_t each : {thread_, process}) {
      siginfo_t seen{};
      // An end is left to be waited for by whom it concerns.
      if (::waitid(P_PID, static_cast<id_t>(each), &seen, WEXITED | WSTOPPED | WNOHANG | WNOWAIT | __WALL) !=
              0 ||
          seen.si_pid == 0)
        continue;
      if (seen.si_code != CLD_TRAPPED && seen.si_code != CLD_STOPPED) return std::nullopt;
      stopped_ = each;
      break;
    }
    if (stopped_ != 0) break;
    if (::kill(process, 0) != 0 && errno == ESRCH) return std::nullopt;
    ::nanosleep(&moment, nullptr);
  }
  int status = 0;
  ::waitpid(stopped_, &status, __WALL);
  const bool executed = status >> 8 == (SIGTRAP | (PTRACE_EVENT_EXEC << 8));
  if (!executed) return std::nullopt;
  return executable(Target(stopped_));
}

void CheckedExec::release() {
  if (stopped_ != 0) ::ptrace(PTRACE_DETACH, stopped_, nullptr, nullptr);  // NOLINT: variadic
}

}  // namespace furnace::policy
