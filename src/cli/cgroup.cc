#include "cli/cgroup.h"

#include <unistd.h>

#include "command_line/bounded_option.h"
#include "sandbox/cgroup.h"

namespace furnace::cli {
namespace {

struct CgroupOptions {
  std::string name;  ///< empty: all
  sandbox::Limits limits;
  std::vector<std::string> command;
};

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

}  // namespace

void add_cgroup(Commands& commands) {
  auto* cgroup = commands.add_group("cgroup", "Limit the CPU, memory and processes of partitions");
  const auto options = std::make_shared<CgroupOptions>();
  const auto with_name = [options](CLI::App* command) {
    return command->add_option("NAME", options->name, "Its name");
  };
  auto* make = cgroup->add_subcommand("make", "Make a cgroup, or change its limits");
  with_name(make)->required();
  make->add_option("--cpu", options->limits.cpu_percent, "Percent of one CPU")
      ->check(within(bounds::kCpuPercent))
      ->capture_default_str();
  make->add_option("--processes", options->limits.processes, "Processes and threads")
      ->check(within(bounds::kProcesses))
      ->capture_default_str();
  make->add_option("--memory", options->limits.memory_mb, "MB of memory")
      ->check(within(bounds::kMemoryMb))
      ->capture_default_str();
  commands.on(make, [options] { return make_cgroup(*options); });
  auto* remove = cgroup->add_subcommand("remove", "Kill the processes in a cgroup, and remove it");
  with_name(remove)->required();
  commands.on(remove, [options] { return remove_cgroup(*options); });
  auto* show =
      cgroup->add_subcommand("show", "Show how much of each limit is used; without a name: of all cgroups");
  with_name(show);
  commands.on(show, [options] { return show_cgroups(*options); });
  auto* exec = cgroup->add_subcommand("exec", "Run a program in a cgroup");
  with_name(exec)->required();
  exec->add_option("PROGRAM", options->command, "The program and its arguments, after --")->required();
  commands.on(exec, [options] { return exec_in_cgroup(*options); });
}

}  // namespace furnace::cli
