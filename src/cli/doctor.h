// furnace doctor: what this host can and can't do.
#pragma once

#include "cli/commands.h"

namespace furnace::cli {

void add_doctor(Commands& commands);

}  // namespace furnace::cli
