// What the VMI partition keeps for each app that is connected.
#pragma once

#include <cstdint>
#include <string>

namespace furnace::vmi {

struct Session {
  std::string identity;  ///< of its call socket, "<app>-r"
  int connection = -1;   ///< ZeroMQ's descriptor of its connection, to notice its end
  uint32_t pauses = 0;   ///< PAUSE_VM without their RESUME_VM
  uint64_t calls = 0;
};

/// A guest stands while any app has a pause open.
struct PauseCount {
  uint32_t total = 0;
};

}  // namespace furnace::vmi
