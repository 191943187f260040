#include "cli/cgroup.h"

#include <unistd.h>

namespace furnace::cli {

using sandbox::Cgroup;
using sandbox::Hierarchies;
using sandbox::Usage;

Status make_cgroup(const CgroupOptions& options) {
  FURNACE_TRY(const Hierarchies host, Hierarchies::of_host());
  FURNACE_TRY(const Cgroup made, Cgroup::make(host, options.name, options.limits));
  return {};
}

Status remove_cgroup(const CgroupOptions& options) {
  FURNACE_TRY(const Hierarchies host, Hierarchies::of_host());
  FURNACE_TRY(const Cgroup group, Cgroup::open(host, options.name));
  return group.remove();
}

Status show_cgroups(const CgroupOptions& options) {
  FURNACE_TRY(const Hierarchies host, Hierarchies::of_host());
  const auto names = options.name.empty() ? Cgroup::list(host) : std::vector{options.name};
  if (names.empty()) {
    fmt::print("no cgroups; make one: furnace cgroup make NAME\n");
    return {};
  }
  fmt::print("{:<24} {:>9}  {:>15}  {:>9}  {:>5}  {:>9}\n", "NAME", "CPU s", "MEMORY MB", "PROCESSES", "OOM",
             "NO FORK");
  for (const std::string& name : names) {
    FURNACE_TRY(const Cgroup group, Cgroup::open(host, name));
    const Usage usage = group.usage();
    constexpr double mb = 1 << 20, s = 1e6;
    const auto memory = fmt::format("{:.1f} of {:.0f}", static_cast<double>(usage.memory) / mb,
                                    static_cast<double>(usage.memory_limit) / mb);
    fmt::print("{:<24} {:>9.1f}  {:>15}  {:>9}  {:>5}  {:>9}\n", name, static_cast<double>(usage.cpu_us) / s,
               memory, fmt::format("{} of {}", usage.processes, usage.process_limit), usage.oom_kills,
               usage.fork_failures);
  }
  return {};
}

Status exec_in_cgroup(const CgroupOptions& options) {
  FURNACE_TRY(const Hierarchies host, Hierarchies::of_host());
  FURNACE_TRY(const Cgroup group, Cgroup::open(host, options.name));
  FURNACE_CHECK(group.add(::getpid()));
  std::vector<char*> arguments;
  for (const std::string& each : options.command)
    arguments.push_back(const_cast<char*>(each.c_str()));  // NOLINT: execvp's
  arguments.push_back(nullptr);
  ::execvp(arguments.front(), arguments.data());
  return fail_errno("{}", options.command.front());
}

}  // namespace furnace::cli
