// Violations as lines of the log.
#pragma once

#include <string>

#include "inspector/supervisor.h"

namespace furnace::inspector {

/// Tells of violations, with `who` in front; an audit tells each thing once, of the first ten thousand.
[[nodiscard]] Supervisor::Observer log_violations(const std::string& who, bool audit);

}  // namespace furnace::inspector
