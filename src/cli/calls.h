// furnace calls: the table of calls, for people.
#pragma once

#include "cli/commands.h"

namespace furnace::cli {

void add_calls(Commands& commands);

}  // namespace furnace::cli
