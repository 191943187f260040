// furnace policy: system call policies (docs/policies.md).
#pragma once

#include "cli/commands.h"

namespace furnace::cli {

void add_policy(Commands& commands);

}  // namespace furnace::cli
