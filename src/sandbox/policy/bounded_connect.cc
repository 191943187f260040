#include "sandbox/policy/bounded_connect.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <sys/time.h>

#include <cerrno>
#include <csignal>

namespace furnace::policy {
namespace {

timeval time_of(std::chrono::milliseconds time) {
  constexpr int64_t ms_per_s = 1000, us_per_ms = 1000;
  return {time.count() / ms_per_s, time.count() % ms_per_s * us_per_ms};
}

/// While it lives calls that wait are interrupted (EINTR) after that time, and again and again from then on:
/// the first signal may come just before the call.
class Interruptions {
 public:
  explicit Interruptions(std::chrono::milliseconds after) {
    struct sigaction ignore {};
    ignore.sa_handler = [](int) {};  // without SA_RESTART
    ::sigaction(SIGALRM, &ignore, &action_);
    sigset_t alarm;
    ::sigemptyset(&alarm);
    ::sigaddset(&alarm, SIGALRM);
    ::sigprocmask(SIG_UNBLOCK, &alarm, &mask_);
    const itimerval timer{time_of(after), time_of(after)};
    ::setitimer(ITIMER_REAL, &timer, nullptr);
  }
  ~Interruptions() {
    const itimerval none{};
    ::setitimer(ITIMER_REAL, &none, nullptr);
    ::sigprocmask(SIG_SETMASK, &mask_, nullptr);
    ::sigaction(SIGALRM, &action_, nullptr);
  }
  Interruptions(const Interruptions&) = delete;
  Interruptions& operator=(const Interruptions&) = delete;

 private:
  struct sigaction action_ {};
  sigset_t mask_{};
};

}  // namespace

int connect_at_once(int socket, std::span<const std::byte> address, std::chrono::milliseconds patience) {
  if ((::fcntl(socket, F_GETFL) & O_NONBLOCK) == 0) return -EOPNOTSUPP;  // NOLINT: variadic
  const Interruptions interruptions(patience);
  const auto* const to = reinterpret_cast<const sockaddr*>(address.data());  // NOLINT: sockets
  if (::connect(socket, to, static_cast<socklen_t>(address.size())) == 0) return 0;
  return errno == EINTR ? -EOPNOTSUPP : -errno;
}

}  // namespace furnace::policy
