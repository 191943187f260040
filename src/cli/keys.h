// furnace keys: CURVE keys of an app and its backend.
#pragma once

#include "cli/commands.h"

namespace furnace::cli {

void add_keys(Commands& commands);

}  // namespace furnace::cli
