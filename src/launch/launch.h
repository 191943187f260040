// Starts partitions: confined, and loudly where the operator has a wall left out.
#pragma once

#include <CLI/CLI.hpp>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "launch/options/app.h"
#include "launch/options/fac.h"
#include "launch/options/vmi.h"
#include "sandbox/partition.h"

namespace furnace::launch {

/// What the launcher takes besides the options of the partition's own program.
struct LaunchOptions {
  bool unconfined = false;  ///< not in a partition at all
  bool inspect = true;      ///< under its policy
  bool shell = false;       ///< bash instead of its program
  bool audit = false;
  bool raw_output = false;     ///< what it prints acts on a terminal
  bool forensic = false;       ///< an app with a root and a policy for forensic tools
  bool common_socket = false;  ///< an app at the socket of all apps
  std::string learn;           ///< file to write the policy to that the run needs
  std::string policy;          ///< another policy file than ours
  std::string group;           ///< a cgroup that exists, instead of one made for the partition
  sandbox::Limits limits;
  std::vector<std::string> files;  ///< more files beside an app's
};
void add_options(CLI::App& flags, LaunchOptions& options);

/// The options given on a command line, again as text; some with another value, or none (not handed on).
[[nodiscard]] std::vector<std::string> command_line(
    const CLI::App& flags, const std::map<std::string, std::optional<std::string>>& instead);

/// Each fills in what is peculiar to its kind.
[[nodiscard]] Result<sandbox::Partition> app_partition(const CLI::App& flags, const AppOptions& app,
                                                       const LaunchOptions& options);
[[nodiscard]] Result<sandbox::Partition> fac_partition(const CLI::App& flags, const FacOptions& fac,
                                                       const LaunchOptions& options);
[[nodiscard]] Result<sandbox::Partition> vmi_partition(const CLI::App& flags, const VmiOptions& vmi,
                                                       const LaunchOptions& options);

/// One app, one connection: the locks that say so, at its VMI and FAC partitions. Errc::Unavailable: who has
/// them.
[[nodiscard]] Result<std::vector<Fd>> lock_app(const AppOptions& app);

/// `furnace app|fac|vmi ...`: `argv[1]` names the kind. The exit code.
int launch(int argc, char** argv);

}  // namespace furnace::launch
