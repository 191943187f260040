// SIGINT, SIGTERM and SIGHUP as a descriptor to poll.
#pragma once

#include "base/fd.h"
#include "base/result.h"

namespace furnace {

/// A descriptor that becomes readable at the first of these signals; a second one ends the process at once,
/// should it hang. `also` is called from the signal handler and must be async-signal-safe. SIGPIPE and
/// SIGXFSZ are ignored from then on. Once per process.
[[nodiscard]] Result<Fd> stop_signals(void (*also)() = nullptr);

}  // namespace furnace
