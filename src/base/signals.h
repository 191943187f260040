// The signals that end a process: SIGINT, SIGTERM and SIGHUP.
#pragma once

#include <csignal>

#include "base/fd.h"
#include "base/result.h"

namespace furnace {

/// A descriptor that becomes readable at the first of these signals; a second one ends the process at once,
/// should it hang. `also` is called from the signal handler and must be async-signal-safe. SIGPIPE and
/// SIGXFSZ are ignored from then on. Once per process.
[[nodiscard]] Result<Fd> stop_signals(void (*also)() = nullptr);

/// The signal that came after stop_signals(); 0: none.
[[nodiscard]] int stop_signal();

/// Errc::Interrupted once a signal came: for what takes long and has no descriptors to poll.
[[nodiscard]] Status check_interrupted();

/// Until stop_signals() is called the first of these signals ends the process, with 128 and its number: for
/// commands that leave nothing wherever they exit.
void exit_at_signals();

/// In a child that will execute a program: no handler of its parent's, and no signal is blocked. One that
/// came meanwhile ends the child.
void default_signals();

/// These signals wait while it lives: for what must not be left half done.
class HoldSignals {
 public:
  HoldSignals();
  ~HoldSignals();
  HoldSignals(const HoldSignals&) = delete;
  HoldSignals& operator=(const HoldSignals&) = delete;

 private:
  sigset_t before_{};
};

}  // namespace furnace
