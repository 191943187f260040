// What the command line of `furnace app|fac|vmi` has besides the options of the partition's own program.
#pragma once

#include <CLI/CLI.hpp>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "sandbox/cgroup.h"

namespace furnace::launch {

/// The group of these options in --help. They are the launcher's: none is handed on to the program.
inline constexpr const char* kConfinement = "Confinement";

struct LaunchOptions {
  bool unconfined = false;  ///< not in a partition at all
  bool inspect = true;      ///< under its policy
  bool shell = false;       ///< bash instead of its program
  bool audit = false;
  bool raw_output = false;  ///< what it prints acts on a terminal
  std::string learn;        ///< file to write the policy to that the run needs
  std::string policy;       ///< another policy file than ours
  std::string group;        ///< a cgroup that exists, instead of one made for the partition
  sandbox::Limits limits;
};
void add_options(CLI::App& flags, LaunchOptions& options);

/// Returns the options given on a command line as text, some with another value, or left out (nullopt).
[[nodiscard]] std::vector<std::string> command_line(
    const CLI::App& flags, const std::map<std::string, std::optional<std::string>>& instead);

}  // namespace furnace::launch
