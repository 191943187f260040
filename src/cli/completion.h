// furnace completion: subcommands, options and VM names, for a shell.
#pragma once

#include "cli/commands.h"

namespace furnace::cli {

void add_completion(Commands& commands);

}  // namespace furnace::cli
