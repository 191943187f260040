#include "launch/launch_options.h"

#include "command_line/bounded_option.h"

namespace furnace::launch {

void add_options(CLI::App& flags, LaunchOptions& options) {
  const char* const group = kConfinement;
  CLI::Option* const unconfined =
      flags
          .add_flag("--unconfined", options.unconfined, "Run the program without any wall, with your rights")
          ->group(group);
  flags.add_flag("!--no-inspect", options.inspect, "Run without a system call policy")->group(group);
  flags
      .add_flag("--shell", options.shell,
                "Run bash inside the partition instead of its program, without a policy")
      ->group(group);
  flags.add_flag("--audit", options.audit, "Log what the policy doesn't allow, and allow it")->group(group);
  flags
      .add_option("--learn", options.learn,
                  "Allow everything, and write the policy that the run needs to a file")
      ->group(group);
  flags
      .add_flag(
          "--raw-output", options.raw_output,
          "Pass on what the partition prints unchanged, with colours and all else that acts on a terminal; "
          "default: escaped text")
      ->group(group);
  flags.add_option("--policy", options.policy, "Use this policy instead of the partition's own")
      ->group(group);
  flags.add_option("--cgroup", options.group, "Join this cgroup (furnace cgroup make) instead of a new one")
      ->group(group);
  flags.add_option("--cpu", options.limits.cpu_percent, "Limit: percent of one CPU")
      ->check(within(bounds::kCpuPercent))
      ->capture_default_str()
      ->group(group);
  flags.add_option("--processes", options.limits.processes, "Limit: processes and threads")
      ->check(within(bounds::kProcesses))
      ->capture_default_str()
      ->group(group);
  flags
      .add_option("--memory", options.limits.memory_mb,
                  "Limit: MB of memory (VMI partitions: 64, with a profile 600)")
      ->check(within(bounds::kMemoryMb))
      ->capture_default_str()
      ->group(group);
  for (CLI::Option* const other : flags.get_options())
    if (other->get_group() == group && other != unconfined) unconfined->excludes(other);
}

std::vector<std::string> command_line(const CLI::App& flags,
                                      const std::map<std::string, std::optional<std::string>>& instead) {
  std::vector<std::string> line, positional;
  for (const CLI::Option* option : flags.get_options()) {
    if (option->get_group() == kConfinement) continue;
    const std::string name = option->get_name(false, false);
    const auto other = instead.find(name);
    if (other != instead.end()) {
      if (!other->second) continue;
      if (option->get_positional()) {
        positional.push_back(*other->second);
      } else {
        line.insert(line.end(), {name, *other->second});
      }
      continue;
    }
    if (option->count() == 0) continue;
    if (option->get_positional()) {
      for (const std::string& value : option->results()) positional.push_back(value);
    } else if (option->get_expected_min() == 0) {
      line.push_back(name);
    } else {
      for (const std::string& value : option->results()) line.insert(line.end(), {name, value});
    }
  }
  if (!positional.empty()) line.emplace_back("--");
  line.insert(line.end(), positional.begin(), positional.end());
  return line;
}

}  // namespace furnace::launch
