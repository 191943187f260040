// `furnace profile`: look at a kernel's profile, find it in a VM, write it for other tools.
#pragma once

#include <string>
#include <vector>

#include "base/result.h"

namespace furnace::cli {

struct ProfileOptions {
  std::string source;               ///< a profile file, a snapshot, or the name of a VM
  std::string types;                ///< --btf
  std::string format = "isf";       ///< --format
  std::string output;               ///< -o; empty: standard output
  bool unconfined = false;          ///< without the walls around what looks into the guest
  std::vector<std::string> things;  ///< symbols, structures and structure.member
};

/// Prints a summary, or the things asked for: symbols' addresses as linked, structures with their members,
/// offsets.
[[nodiscard]] Status show_profile(const ProfileOptions& options);
/// Finds the kernel in a VM or snapshot and prints where it lies.
[[nodiscard]] Status find_profile(const ProfileOptions& options);
[[nodiscard]] Status export_profile(const ProfileOptions& options);

}  // namespace furnace::cli
