// furnace profile: symbols and types of a kernel.
#pragma once

#include "cli/commands.h"

namespace furnace::cli {

void add_profile(Commands& commands);

}  // namespace furnace::cli
