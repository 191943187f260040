// Structures of furnace/vmi_host.h that a program of another release has filled.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstring>
#include <optional>

namespace furnace::vmi {

/// Copies what both sides know of a structure that begins with its size; what is missing is 0. Returns
/// nothing if it is smaller than `least`, the end of its last member in the first release.
template <typename T>
[[nodiscard]] std::optional<T> known_part(const T& given, size_t least) {
  size_t size = 0;
  std::memcpy(&size, &given, sizeof size);  // the rest may not be there
  if (size < least) return std::nullopt;
  T known{};
  std::memcpy(&known, &given, std::min(size, sizeof known));
  known.size = sizeof known;
  return known;
}

}  // namespace furnace::vmi
