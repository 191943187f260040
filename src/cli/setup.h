// `furnace setup`: what an operator's host needs once.
#pragma once

#include "base/result.h"

namespace furnace::cli {

struct SetupOptions {
  bool check = false;  ///< change nothing, say what is missing
};

/// Makes the system account and the directories of $FURNACE_DIR (wire.md section 6), and builds the roots of
/// the partitions there. Does nothing twice; prints what it did. With `check`: fails if something is missing.
[[nodiscard]] Status set_up(const SetupOptions& options);

}  // namespace furnace::cli
