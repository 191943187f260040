// furnace vm: test VMs, and what can be done with any VM of this host.
#pragma once

#include "cli/commands.h"

namespace furnace::cli {

void add_vm(Commands& commands);

}  // namespace furnace::cli
