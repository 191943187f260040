// System calls that reach a file by its path, and which of them reach the same thing.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>

namespace furnace::policy {

/// A path test written for one call of a family holds for all of it.
enum class Family : uint8_t { Open, Stat, Access, ReadLink, Execute };

struct PathCall {
  std::string_view name;
  uint32_t number;
  Family family;
  int path;       ///< which argument is the path
  int directory;  ///< which argument is the directory that a relative path starts from; -1: the working
                  ///< directory
};

[[nodiscard]] std::span<const PathCall> path_calls();
/// nullptr for any other call.
[[nodiscard]] const PathCall* path_call(uint32_t number);

}  // namespace furnace::policy
