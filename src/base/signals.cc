#include "base/signals.h"

#include <fcntl.h>
#include <pthread.h>
#include <unistd.h>

#include <array>

namespace furnace {
namespace {

constexpr std::array kSignals{SIGINT, SIGTERM, SIGHUP};
constexpr int kBySignal = 128;

// A signal handler has no other way to its data.
volatile int stop_pipe = -1;
volatile std::sig_atomic_t came = 0;
void (*volatile stop_also)() = nullptr;

void note(int signal) {
  const int error_number = errno;
  if (came == 0) came = signal;
  [[maybe_unused]] const ssize_t written = ::write(stop_pipe, "", 1);
  if (stop_also != nullptr) stop_also();
  errno = error_number;
}

void exit_at_once(int signal) {
  ::_exit(kBySignal + signal);
}

void handle_with(void (*handler)(int)) {
  struct sigaction action {};
  action.sa_handler = handler;
  action.sa_flags = static_cast<int>(SA_RESETHAND);
  for (const int signal : kSignals) ::sigaction(signal, &action, nullptr);
}

}  // namespace

Result<Fd> stop_signals(void (*also)()) {
  int ends[2];
  if (::pipe2(ends, O_CLOEXEC | O_NONBLOCK) != 0) return fail_errno("pipe");
  stop_pipe = ends[1];
  stop_also = also;
  handle_with(note);
  std::signal(SIGPIPE, SIG_IGN);
  std::signal(SIGXFSZ, SIG_IGN);  // a file that may not grow is an error of the call
  return Fd(ends[0]);
}

int stop_signal() {
  return came;
}

Status check_interrupted() {
  return came == 0 ? Status() : Status(fail(Errc::Interrupted, "interrupted"));
}

void exit_at_signals() {
  handle_with(exit_at_once);
}

void default_signals() {
  for (const int signal : kSignals) std::signal(signal, SIG_DFL);
  sigset_t none;
  ::sigemptyset(&none);
  ::pthread_sigmask(SIG_SETMASK, &none, nullptr);
}

HoldSignals::HoldSignals() {
  sigset_t held;
  ::sigemptyset(&held);
  for (const int signal : kSignals) ::sigaddset(&held, signal);
  ::pthread_sigmask(SIG_BLOCK, &held, &before_);
}

HoldSignals::~HoldSignals() {
  ::pthread_sigmask(SIG_SETMASK, &before_, nullptr);
}

}  // namespace furnace
