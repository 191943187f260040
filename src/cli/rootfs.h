// furnace rootfs: the read-only roots of partitions.
#pragma once

#include "cli/commands.h"

namespace furnace::cli {

void add_rootfs(Commands& commands);

}  // namespace furnace::cli
