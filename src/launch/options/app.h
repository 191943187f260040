// The command line of an APP partition: its own program's, and the launcher's (wire.md section 4).
#pragma once

#include <CLI/CLI.hpp>
#include <string>

#include "base/places.h"

namespace furnace::launch {

struct AppOptions {
  std::string file;  ///< without its suffix
  std::string class_name = "App";
  std::string app;  ///< its id
  std::string metadata;
  // Inside a partition the sockets lie here (wire.md section 6).
  std::string facilities = places::kFacilities;  ///< directory of fac_rtr and fac_pub
  std::string vmi = places::kVmi;                ///< directory of vmi_rtr
  uint32_t wait_for_vm = 30;                     ///< seconds; 0: no limit
  int counter = -1;                              ///< the launcher's: a descriptor, counts messages
};

void add_options(CLI::App& flags, AppOptions& options);

}  // namespace furnace::launch
