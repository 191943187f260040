// furnace vm snapshot: writes a VM's memory to a file.
#pragma once

#include "cli/commands.h"

namespace furnace::cli {

/// `vm`: the group of commands.
void add_snapshot(Commands& commands, CLI::App* vm);

}  // namespace furnace::cli
