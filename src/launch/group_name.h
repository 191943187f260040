// What the cgroup of a partition is called.
#pragma once

#include <fmt/format.h>
#include <unistd.h>

#include <cctype>
#include <string>
#include <string_view>

namespace furnace::launch {

/// KIND.ID.PID with this process's number; what a name of a directory may not have is '_' in ID.
[[nodiscard]] inline std::string group_name(std::string_view kind, std::string_view id) {
  constexpr size_t most = 40;
  std::string name(id.substr(0, most));
  for (char& c : name)
    if (std::isalnum(static_cast<unsigned char>(c)) == 0 && c != '-' && c != '_') c = '_';
  return fmt::format("{}.{}.{}", kind, name, ::getpid());
}

}  // namespace furnace::launch
