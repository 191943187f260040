// Violations as lines of the log.
#pragma once

#include <string>

#include "sandbox/policy/call_supervisor.h"

namespace furnace::policy {

/// Reports violations, with `who` in front; an audit reports each thing once, of the first ten thousand.
[[nodiscard]] CallSupervisor::Observer log_violations(const std::string& who, bool audit);

}  // namespace furnace::policy
