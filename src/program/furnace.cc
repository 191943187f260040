// furnace: the front door. Commands of its own, and furnace-NAME for the others.
#include <array>
#include <cstdio>
#include <memory>
#include <string>
#include <string_view>

#include "base/command.h"
#include "cli/calls.h"
#include "cli/cgroup.h"
#include "cli/completion.h"
#include "cli/doctor.h"
#include "cli/keys.h"
#include "cli/policy.h"
#include "cli/profile.h"
#include "cli/ps.h"
#include "cli/rootfs.h"
#include "cli/run.h"
#include "cli/setup.h"
#include "cli/tail.h"
#include "cli/top.h"
#include "cli/vm/vm.h"
#include "launch/launch.h"

namespace {

using namespace furnace;

/// Commands that are executables of their own, outside of partitions.
struct Executable {
  const char* name;
  const char* summary;
};
constexpr std::array kExecutables = {
    Executable{"proxy", "Proxy between FAC partitions and backends"},
    Executable{"backend", "Backend: runs a tenant's backend, in Python or C++"},
    Executable{"inspect", "Run a program under a system call policy"},
};

/// The options of a command that starts a partition.
struct PartitionOptions {
  std::unique_ptr<launch::Start> start;
  launch::LaunchOptions launching;
};

/// For --help and completion: `main` starts these.
void add_executables(cli::Commands& commands) {
  for (const launch::Kind* kind : launch::kinds()) {
    CLI::App* const command = commands.add(kind->name, kind->summary);
    const std::shared_ptr<PartitionOptions> options(new PartitionOptions{kind->start(), {}});
    launch::add_options(*command, options->launching);
    options->start->add_options(*command);
    commands.on(command, [options] { return Status(); });
  }
  for (const Executable& each : kExecutables) (void)commands.add(each.name, each.summary);
}

/// In the order of --help.
constexpr std::array kCommands{cli::add_vm,     cli::add_ps,     add_executables,    cli::add_profile,
                               cli::add_policy, cli::add_cgroup, cli::add_rootfs,    cli::add_top,
                               cli::add_setup,  cli::add_run,    cli::add_calls,     cli::add_keys,
                               cli::add_tail,   cli::add_doctor, cli::add_completion};

/// Returns only if that fails: the exit code.
int become_executable(const Executable& executable, std::vector<std::string> arguments) {
  arguments.insert(arguments.begin(), fmt::format("furnace {}", executable.name));
  const Status failed = become(fmt::format("furnace-{}", executable.name), std::move(arguments));
  fmt::print(stderr, "furnace: {}\n", failed.error().message());
  return 1;
}

}  // namespace

int main(int argc, char** argv) {
  // Executables take the options that all programs have, too: those before the name move to the place after
  // it.
  const int at = Program::first_command(argc, argv);
  std::vector<char*> arguments(argv + at, argv + argc);
  if (!arguments.empty()) arguments.insert(arguments.begin() + 1, argv + 1, argv + at);
  const std::string_view name = arguments.empty() ? "" : arguments.front();
  for (const launch::Kind* kind : launch::kinds())
    if (name == kind->name)
      return launch::launch(*kind, static_cast<int>(arguments.size()), arguments.data());
  for (const Executable& each : kExecutables)
    if (name == each.name) return become_executable(each, {arguments.begin() + 1, arguments.end()});
  cli::Commands commands;
  for (const auto add : kCommands) add(commands);
  return commands.run(argc, argv);
}
