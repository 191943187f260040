#include "base/signals.h"

#include <fcntl.h>
#include <unistd.h>

#include <csignal>

namespace furnace {
namespace {

// A signal handler has no other way to its data.
volatile int stop_pipe = -1;
void (*volatile stop_also)() = nullptr;

void handle(int /*signal*/) {
  const int error_number = errno;
  [[maybe_unused]] const ssize_t written = ::write(stop_pipe, "", 1);
  if (stop_also != nullptr) stop_also();
  errno = error_number;
}

}  // namespace

Result<Fd> stop_signals(void (*also)()) {
  int ends[2];
  if (::pipe2(ends, O_CLOEXEC | O_NONBLOCK) != 0) return fail_errno("pipe");
  stop_pipe = ends[1];
  stop_also = also;
  struct sigaction action {};
  action.sa_handler = handle;
  action.sa_flags = static_cast<int>(SA_RESETHAND);
  for (const int signal : {SIGINT, SIGTERM, SIGHUP}) ::sigaction(signal, &action, nullptr);
  std::signal(SIGPIPE, SIG_IGN);
  std::signal(SIGXFSZ, SIG_IGN);  // a file that may not grow is an error of the call
  return Fd(ends[0]);
}

}  // namespace furnace
