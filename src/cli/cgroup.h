// `furnace cgroup`: the limits of partitions.
#pragma once

#include <string>
#include <vector>

#include "base/result.h"
#include "sandbox/cgroup.h"

namespace furnace::cli {

struct CgroupOptions {
  std::string name;  ///< empty: all
  sandbox::Limits limits;
  std::vector<std::string> command;
};

[[nodiscard]] Status make_cgroup(const CgroupOptions& options);
[[nodiscard]] Status remove_cgroup(const CgroupOptions& options);
/// A line for each group: what is used of what is allowed.
[[nodiscard]] Status show_cgroups(const CgroupOptions& options);
/// Becomes the command, inside. Returns only if that fails.
[[nodiscard]] Status exec_in_cgroup(const CgroupOptions& options);

}  // namespace furnace::cli
