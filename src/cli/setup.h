// furnace setup: what a host needs once.
#pragma once

#include "cli/commands.h"

namespace furnace::cli {

void add_setup(Commands& commands);

}  // namespace furnace::cli
