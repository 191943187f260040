// furnace tail: the messages of an app as they pass.
#pragma once

#include "cli/commands.h"

namespace furnace::cli {

void add_tail(Commands& commands);

}  // namespace furnace::cli
