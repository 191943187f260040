// The option that all commands share which look into a guest.
#pragma once

#include <CLI/CLI.hpp>

namespace furnace::cli {

inline void add_unconfined(CLI::App* command, bool& unconfined) {
  command->add_flag("--unconfined", unconfined,
                    "Run what looks into the guest without any wall, with your rights");
}

}  // namespace furnace::cli
