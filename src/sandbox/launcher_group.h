// A control group for a launcher. Its partition makes it work: it looks paths up, decides calls, and hands
// output on. That work has the same quota of CPU as the partition's own.
#pragma once

#include <filesystem>
#include <vector>

#include "sandbox/cgroup.h"

namespace furnace::sandbox {

class LauncherGroup {
 public:
  /// Makes the group for the calling process, with the quota of its partition's group.
  [[nodiscard]] static Result<LauncherGroup> make(const Hierarchies& hierarchies, const Cgroup& of_partition);

  /// Moves the calling process into it, with what it forks from then on.
  [[nodiscard]] Status enter();
  /// Moves the calling process back to where it was, and removes the group. Once the launcher has exited
  /// another process may call it.
  void remove();
  [[nodiscard]] uint64_t cpu_us() const { return group_.usage().cpu_us; }

 private:
  LauncherGroup(Hierarchies hierarchies, Cgroup group)
      : hierarchies_(std::move(hierarchies)), group_(std::move(group)) {}

  Hierarchies hierarchies_;  ///< those of CPU
  Cgroup group_;
  std::vector<std::filesystem::path> before_;  ///< the process's groups, in the order of `hierarchies_`
};

}  // namespace furnace::sandbox
