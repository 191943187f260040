// furnace cgroup: limits of partitions.
#pragma once

#include "cli/commands.h"

namespace furnace::cli {

void add_cgroup(Commands& commands);

}  // namespace furnace::cli
