#include "launch/launch.h"

#include <fcntl.h>
#include <unistd.h>

#include <cstdio>

#include "base/command.h"
#include "base/directories.h"
#include "base/directory.h"
#include "base/file.h"
#include "base/log.h"
#include "base/places.h"
#include "base/signals.h"
#include "command_line/program.h"
#include "launch/group_name.h"
#include "sandbox/policy/learn.h"
#include "sandbox/policy/policy_parser.h"

namespace furnace::launch {
namespace {

using sandbox::Partition;

/// A cgroup of the partition's own, where this host lets us make one.
void choose_group(Partition& partition, const LaunchOptions& options, const char* kind, std::string_view id) {
  if (!options.group.empty()) {
    partition.group = options.group;
    return;
  }
  const auto host = sandbox::Hierarchies::of_host();
  if (!host || ::geteuid() != 0) {
    log::warning("{}: NO LIMITS of CPU, memory and processes: {}", partition.name,
                 host ? "cgroups are root's to make" : host.error().message());
    return;
  }
  partition.group = group_name(kind, id);
  partition.limits = options.limits;
}

Status choose_policy(Partition& partition, const LaunchOptions& options, policy::Lesson& lesson) {
  if (!options.learn.empty()) {
    log::warning("{}: LEARNING: its system calls are not restricted", partition.name);
    partition.policy.emplace();
    partition.audit = true;
    partition.observer = [&lesson](const policy::Decided& decided) { lesson.add(decided); };
    return {};
  }
  if (!options.inspect) {
    partition.policy.reset();
    log::warning("{}: NOT INSPECTED: its system calls are not restricted", partition.name);
    return {};
  }
  const std::string own = partition.policy_name + ".policy";
  const std::string file =
      !options.policy.empty() ? options.policy : (installed_directory("policies") / own).string();
  FURNACE_TRY(auto parsed, policy::load_policy(file));
  for (const auto& warning : parsed.warnings) log::warning("{}: {}", warning.place.text(), warning.text);
  // What the launcher itself knows, such as the address of a proxy, is in it already.
  if (partition.policy) parsed.policy.add(*partition.policy);
  partition.policy = std::move(parsed.policy);
  partition.audit = options.audit;
  return {};
}

/// bash in the place of the program: for looking around.
void make_shell(Partition& partition) {
  log::warning("{}: A SHELL with the host's programs, not inspected: only for debugging", partition.name);
  partition.view.debug = true;
  partition.view.binds.push_back({program_directory() / "furnace-enter", places::kEnterOfShell, false});
  partition.command = {"/usr/bin/bash", "--norc"};
}

/// Makes the walls, runs the program to its end, and returns its exit code.
Result<int> launch_partition(const Kind& kind, Start& start, const CLI::App& flags,
                             LaunchOptions& launching) {
  FURNACE_TRY(Fd stop, stop_signals());  // what is made from here on is undone
  policy::Lesson lesson;
  FURNACE_TRY(Partition partition, start.make_partition(flags, launching));
  partition.name = fmt::format("{} {}", kind.name, start.id());
  FURNACE_TRY(const sandbox::Root root, sandbox::find_root(start.root()));
  FURNACE_TRY(const Directory opened, Directory::open(root.directory, Care::Content));
  partition.view.root = opened.path();
  if (launching.shell) {
    make_shell(partition);
  } else {
    FURNACE_TRY(partition.messages, MessageCounter::make());
    FURNACE_TRY(Fd counter, partition.messages.duplicate());
    partition.command.insert(partition.command.begin(), {fmt::format("/usr/bin/furnace-{}", kind.name),
                                                         "--counter", std::to_string(counter.get())});
    partition.handles.push_back(std::move(counter));
    FURNACE_CHECK(choose_policy(partition, launching, lesson));
  }
  choose_group(partition, launching, kind.name, start.id());
  partition.output.raw = launching.raw_output;
  partition.on_ready = report_ready;
  FURNACE_TRY(const sandbox::PartitionEnd end, sandbox::run_partition(std::move(partition), std::move(stop)));
  if (launching.learn.empty()) return end.exit_code;
  constexpr size_t files_from_a_directory = 3;
  FURNACE_CHECK(write_file(launching.learn, lesson.text(files_from_a_directory)));
  return end.exit_code;
}

/// Without any wall. Returns only if that fails.
Status become_program(const Kind& kind, const Start& start, const CLI::App& flags) {
  log::warning("{} {}: NOT CONFINED: an attacker who takes it over has all rights of user {} on this host",
               kind.name, start.id(), ::geteuid());
  FURNACE_TRY(const std::vector<Fd> locks, start.locks());
  // They are the program's own from now on.
  for (const Fd& lock : locks) ::fcntl(lock.get(), F_SETFD, 0);  // NOLINT: variadic
  const std::string program = fmt::format("furnace-{}", kind.name);
  std::vector<std::string> arguments = command_line(flags, {});
  arguments.insert(arguments.begin(), program);
  return become(program, std::move(arguments));
}

}  // namespace

int launch(const Kind& kind, int count, char** arguments) {
  const auto start = kind.start();
  LaunchOptions launching;
  Program program(fmt::format("furnace {}", kind.name), kind.title);
  CLI::App& flags = program.options();
  add_options(flags, launching);
  start->add_options(flags);
  int exit_code = 0;
  const int status = program.run(count, arguments, [&]() -> Status {
    if (launching.unconfined) return become_program(kind, *start, flags);
    const auto ended = launch_partition(kind, *start, flags, launching);
    if (!ended && ended.error().code() == Errc::Interrupted) return {};  // a service that was to end
    FURNACE_TRY(exit_code, ended);
    return {};
  });
  return status != 0 ? status : exit_code;
}

}  // namespace furnace::launch
