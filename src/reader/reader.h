// The process that looks into a guest for a command (`furnace ps`, `profile`, `vm snapshot`): all that a
// guest or a file can write is parsed here, inside the walls of a partition, and reported in records.
#pragma once

#include "base/result.h"
#include "reader/options.h"

namespace furnace::reader {

/// Does the task and reports what came of it. The error: its report was not taken.
[[nodiscard]] Status run(const Options& options);

}  // namespace furnace::reader
