// What runs of an app: its parts, as commands.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "launch/manifest.h"

namespace furnace::launch {

/// A partition, or the proxy: `furnace NAME ARGUMENTS`.
struct Part {
  std::string name;
  std::vector<std::string> arguments;

  void add(std::initializer_list<std::string> more);
  void add(const Manifest::PartitionLimits& limits);
};
/// Returns the command as a shell takes it.
[[nodiscard]] std::string to_text(const Part& part);
/// Returns the parts in the order in which they are started.
[[nodiscard]] std::vector<Part> parts_of(const Manifest& manifest);

}  // namespace furnace::launch
