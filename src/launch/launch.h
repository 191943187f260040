// Starts partitions: confined, and loudly where the operator has a wall left out.
#pragma once

#include "launch/kind.h"

namespace furnace::launch {

/// `furnace app|fac|vmi ...`, from the command line to its end: `arguments[0]` is the name of the kind. The
/// exit code is the program's.
int launch(const Kind& kind, int count, char** arguments);

}  // namespace furnace::launch
