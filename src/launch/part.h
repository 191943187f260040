// The parts of an app: what runs of it, as commands.
#pragma once

#include <string>
#include <vector>

#include "launch/manifest.h"

namespace furnace::launch {

/// A partition, or the proxy: `furnace NAME ARGUMENTS`.
struct Part {
  std::string name;
  std::vector<std::string> arguments;
};
/// As a shell takes it.
[[nodiscard]] std::string to_text(const Part& part);
/// In the order in which they are started.
[[nodiscard]] std::vector<Part> parts_of(const Manifest& manifest);

}  // namespace furnace::launch
