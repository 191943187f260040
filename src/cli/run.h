// furnace run: the partitions of an app, from its manifest.
#pragma once

#include "cli/commands.h"

namespace furnace::cli {

void add_run(Commands& commands);

}  // namespace furnace::cli
