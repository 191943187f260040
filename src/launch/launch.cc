#include "launch/launch.h"

#include <fcntl.h>
#include <unistd.h>

#include <cstdio>
#include <type_traits>

#include "base/directories.h"
#include "base/directory.h"
#include "base/file.h"
#include "base/log.h"
#include "base/places.h"
#include "base/signals.h"
#include "command_line/bounded_option.h"
#include "command_line/program.h"
#include "sandbox/policy/learn.h"
#include "sandbox/policy/policy_parser.h"
#include "sandbox/rootfs.h"

namespace furnace::launch {
namespace {

using sandbox::Partition;

constexpr size_t kMostOfName = 40;
constexpr const char* kConfinement = "Confinement";

/// The program itself, without a partition. Returns only if that fails.
Status become(const std::string& program, const std::vector<std::string>& arguments) {
  std::error_code ignored;
  const auto beside = std::filesystem::read_symlink("/proc/self/exe", ignored).parent_path() / program;
  std::vector<char*> all;
  all.reserve(arguments.size() + 2);
  all.push_back(const_cast<char*>(program.c_str()));                                  // NOLINT: execv's
  for (const auto& each : arguments) all.push_back(const_cast<char*>(each.c_str()));  // NOLINT: execv's
  all.push_back(nullptr);
  ::execv(beside.c_str(), all.data());
  ::execvp(program.c_str(), all.data());
  return fail_errno("{}", program);
}

/// A cgroup of the partition's own, where this host lets us make one.
void choose_group(Partition& partition, const LaunchOptions& options, std::string_view kind,
                  std::string_view id) {
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
  std::string name(id.substr(0, kMostOfName));
  for (char& c : name)
    if (std::isalnum(static_cast<unsigned char>(c)) == 0 && c != '-' && c != '_') c = '_';
  partition.group = fmt::format("{}.{}.{}", kind, name, ::getpid());
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
  std::error_code ignored;
  log::warning("{}: A SHELL with the host's programs, not inspected: only for debugging", partition.name);
  partition.view.debug = true;
  partition.view.binds.push_back(
      {std::filesystem::read_symlink("/proc/self/exe", ignored).parent_path() / "furnace-enter",
       places::kEnterOfShell, false});
  partition.command = {"/usr/bin/bash", "--norc"};
}

/// MB. A partition on a VM lives on 20, but to find a 6.12 kernel in RAM takes 50 for a moment; a profile
/// that is given is read as a whole.
uint64_t vmi_memory(const CLI::App& flags) {
  constexpr uint64_t usual = 64, with_profile = 600;
  return flags.count("--profile") != 0 ? with_profile : usual;
}

struct Kind {
  const char* name;
  const char* title;
};

/// Its walls, its program and its limits, from the command line to its end. The program's exit code.
template <typename Options, typename MakePartition>
Result<int> launch_partition(const Kind& kind, const CLI::App& flags, const Options& options,
                             LaunchOptions& launching, const MakePartition& make_partition,
                             const std::string& id) {
  FURNACE_TRY(Fd stop, stop_signals());  // what is made from here on is undone
  policy::Lesson lesson;
  FURNACE_TRY(Partition partition, make_partition(flags, options, launching));
  partition.name = fmt::format("{} {}", kind.name, id);
  const char* const root_kind = launching.forensic ? "forensic" : kind.name;
  FURNACE_TRY(const sandbox::Root root, sandbox::find_root(sandbox::root_kind(root_kind)));
  FURNACE_TRY(const Directory opened, Directory::open(root.directory, Care::Content));
  partition.view.root = opened.path();
  if (launching.shell) {
    make_shell(partition);
  } else {
    FURNACE_TRY(partition.messages, MessageCounter::make());
    FURNACE_TRY(Fd counter, partition.messages.duplicate());
    partition.command.insert(partition.command.begin(), {"--counter", std::to_string(counter.get())});
    partition.handles.push_back(std::move(counter));
    partition.command.insert(partition.command.begin(), fmt::format("/usr/bin/furnace-{}", kind.name));
    FURNACE_CHECK(choose_policy(partition, launching, lesson));
  }
  if (flags.count("--memory") == 0 && std::string_view(kind.name) == "vmi")
    launching.limits.memory_mb = vmi_memory(flags);
  choose_group(partition, launching, kind.name, id);
  partition.output.raw = launching.raw_output;
  partition.on_ready = report_ready;
  FURNACE_TRY(const sandbox::PartitionEnd end, sandbox::run_partition(std::move(partition), std::move(stop)));
  if (launching.learn.empty()) return end.exit_code;
  constexpr size_t files_from_a_directory = 3;
  FURNACE_CHECK(write_file(launching.learn, lesson.text(files_from_a_directory)));
  return end.exit_code;
}

/// One kind's whole way, from the command line on.
template <typename Options, typename MakePartition>
int launch_kind(const Kind& kind, int argc, char** argv, const MakePartition& make_partition,
                std::string Options::*id) {
  Options options;
  LaunchOptions launching;
  Program program(fmt::format("furnace {}", kind.name), kind.title);
  add_options(program.options(), options);
  CLI::App& flags = program.options();
  add_options(flags, launching);
  if (std::string_view(kind.name) == "app")
    flags
        .add_flag("--forensic", launching.forensic,
                  "With what forensic tools need: Python's yara, and its policy (python3-yara)")
        ->group(kConfinement);
  if (std::string_view(kind.name) == "app")
    flags
        .add_flag("--common-socket", launching.common_socket,
                  "For a VMI partition of another make, which has one socket for all apps: this app could "
                  "call itself "
                  "another one there")
        ->group(kConfinement);
  int exit_code = 0;
  const int status = program.run(argc, argv, [&]() -> Status {
    if (launching.unconfined) {
      log::warning(
          "{} {}: NOT CONFINED: an attacker who takes it over has all rights of user {} on this host",
          kind.name, options.*id, ::geteuid());
      // They are the program's own from now on.
      std::vector<Fd> locks;
      if constexpr (std::is_same_v<Options, AppOptions>) {
        FURNACE_TRY(locks, lock_app(options));
      }
      for (const Fd& lock : locks) ::fcntl(lock.get(), F_SETFD, 0);  // NOLINT: variadic
      return become(fmt::format("furnace-{}", kind.name), command_line(flags, {}));
    }
    const auto ended = launch_partition(kind, flags, options, launching, make_partition, options.*id);
    if (!ended && ended.error().code() == Errc::Interrupted) return {};  // a service that was to end
    FURNACE_TRY(exit_code, ended);
    return {};
  });
  return status != 0 ? status : exit_code;
}

}  // namespace

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
  flags.add_option("--add", options.files, "A file to add next to the app's; may be repeated")->group(group);
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

int launch(int argc, char** argv) {
  const std::string_view kind = argv[1];
  if (kind == "app")
    return launch_kind<AppOptions>({"app", "APP partition: hosts a tenant's app"}, argc - 1, argv + 1,
                                   app_partition, &AppOptions::app);
  if (kind == "fac")
    return launch_kind<FacOptions>({"fac", "FAC partition: storage and messages of one app"}, argc - 1,
                                   argv + 1, fac_partition, &FacOptions::app);
  return launch_kind<VmiOptions>(
      {"vmi", "VMI partition: owns the hypervisor handle of one VM and serves its apps"}, argc - 1, argv + 1,
      vmi_partition, &VmiOptions::vm);
}

}  // namespace furnace::launch
