#include "sandbox/cgroup.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <csignal>
#include <set>
#include <thread>

#include "base/fd.h"
#include "base/file.h"
#include "base/text.h"

namespace furnace::sandbox {
namespace {

namespace fs = std::filesystem;

constexpr std::array<std::string_view, 3> kControllers = {"cpu", "memory", "pids"};
constexpr std::string_view kTime = "cpuacct";  // version 1 counts it in a controller of its own
constexpr std::string_view kParent = "furnace", kLaunchers = "furnace-launchers";
constexpr uint64_t kPeriod = 100'000;  // us

bool has_word(std::string_view text, std::string_view word, char separator) {
  for (const std::string_view line : lines(text))
    for (const std::string_view each : items(line, separator))
      if (each == word) return true;
  return false;
}

std::string controllers_at(const fs::path& mount) {
  return read_file(mount / "cgroup.controllers").value_or("");
}

Status write_to(const fs::path& file, std::string_view value) {
  FURNACE_TRY(const Fd fd, open_file(file, O_WRONLY));
  if (::write(fd.get(), value.data(), value.size()) != static_cast<ssize_t>(value.size()))
    return fail_errno("{}: '{}'", file.string(), value);
  return {};
}

Status check_name(std::string_view name) {
  constexpr size_t longest = 64;
  const bool fine =
      !name.empty() && name.size() <= longest && name != "." && name != ".." &&
      name.find_first_not_of("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-") ==
          std::string_view::npos;
  if (fine) return {};
  return fail(Errc::Invalid, "cgroup name '{}': expected 1 to {} of A-Z a-z 0-9 . _ -",
              name.substr(0, longest), longest);
}

Status make_directory(const fs::path& directory) {
  std::error_code error;
  fs::create_directories(directory, error);
  if (!error) return {};
  if (error == std::errc::permission_denied || error == std::errc::read_only_file_system)
    return fail(
        Errc::Denied,
        "{}: {}: control groups are root's; run as root, or in a scope of your own: systemd-run --user "
        "--scope -p Delegate=yes",
        directory.string(), error.message());
  return fail(Errc::Failed, "{}: {}", directory.string(), error.message());
}

}  // namespace

Result<Hierarchies> Hierarchies::of(std::string_view mounts, Controllers unified_controllers) {
  Hierarchies version_1, version_2;
  for (const std::string_view line : lines(mounts)) {
    const auto columns = words(line);  // device, place, type, options, two numbers
    if (columns.size() < 4) continue;
    const std::string place(columns[1]);
    const std::string_view type = columns[2], options = columns[3];
    if (type == "cgroup2") {
      version_2.unified = true;
      const std::string available = unified_controllers(place);
      for (const auto controller : kControllers)
        if (has_word(available, controller, ' ')) version_2.mounts.emplace(controller, place);
    }
    if (type != "cgroup") continue;
    for (const auto controller : {kControllers[0], kControllers[1], kControllers[2], kTime})
      if (has_word(options, controller, ',')) version_1.mounts.emplace(controller, place);
  }
  const auto missing = [](const Hierarchies& found) {
    return *std::find_if_not(kControllers.begin(), kControllers.end() - 1,
                             [&](std::string_view controller) { return found.mounts.contains(controller); });
  };
  for (const Hierarchies& found : {version_2, version_1})
    if (found.mounts.contains(missing(found))) return found;
  return fail(Errc::NotFound, "no control groups with the controller '{}' are mounted on this host",
              missing(version_1.mounts.empty() ? version_2 : version_1));
}

Result<Hierarchies> Hierarchies::of_host() {
  FURNACE_TRY(const std::string mounts, read_file("/proc/self/mounts"));
  return of(mounts, controllers_at);
}

fs::path Cgroup::directory(std::string_view controller) const {
  return hierarchies_.mounts.find(controller)->second / parent_ / name_;
}

std::vector<fs::path> Cgroup::directories() const {
  std::set<fs::path> all;
  for (const auto& [controller, mount] : hierarchies_.mounts) all.insert(directory(controller));
  return {all.begin(), all.end()};
}

Status Cgroup::write(std::string_view controller, std::string_view file, std::string_view value) const {
  return write_to(directory(controller) / file, value);
}

Status Cgroup::make_directories() const {
  if (hierarchies_.unified) {
    const fs::path& root = hierarchies_.mounts.begin()->second;
    FURNACE_CHECK(make_directory(root / parent_));
    std::string controllers;
    for (const auto& [controller, mount] : hierarchies_.mounts) controllers += "+" + controller + " ";
    for (const fs::path& each : {root, root / parent_})
      FURNACE_CHECK(write_to(each / "cgroup.subtree_control", controllers));
  }
  for (const fs::path& directory : directories()) FURNACE_CHECK(make_directory(directory));
  return {};
}

Result<Cgroup> Cgroup::make(const Hierarchies& hierarchies, std::string_view name, const Limits& limits) {
  FURNACE_CHECK(check_name(name));
  Cgroup group(hierarchies, kParent, name);
  FURNACE_CHECK(group.make_directories());
  if (auto set = group.set(limits); !set) {
    (void)group.remove();
    return tl::unexpected<Error>(set.error());
  }
  return group;
}

Result<Cgroup> Cgroup::make_for_launcher(const Hierarchies& hierarchies, std::string_view name,
                                         std::optional<uint32_t> cpu_percent) {
  FURNACE_CHECK(check_name(name));
  Cgroup group(hierarchies, kLaunchers, name);
  FURNACE_CHECK(group.make_directories());
  if (auto set = cpu_percent ? group.set_cpu(*cpu_percent) : Status(); !set) {
    (void)group.remove();
    return tl::unexpected<Error>(set.error());
  }
  return group;
}

Result<Cgroup> Cgroup::open(const Hierarchies& hierarchies, std::string_view name) {
  FURNACE_CHECK(check_name(name));
  Cgroup group(hierarchies, kParent, name);
  std::error_code ignored;
  for (const fs::path& directory : group.directories())
    if (!fs::is_directory(directory, ignored))
      return fail(Errc::NotFound, "no cgroup '{}' (see: furnace cgroup list)", name);
  return group;
}

std::vector<std::string> Cgroup::list(const Hierarchies& hierarchies) {
  std::vector<std::string> names;
  std::error_code ignored;
  for (const auto& entry : fs::directory_iterator(hierarchies.mounts.begin()->second / kParent, ignored))
    if (entry.is_directory(ignored)) names.push_back(entry.path().filename().string());
  std::sort(names.begin(), names.end());
  return names;
}

Status Cgroup::set_cpu(uint32_t percent) const {
  const uint64_t quota = kPeriod * percent / 100;
  if (hierarchies_.unified) return write("cpu", "cpu.max", fmt::format("{} {}", quota, kPeriod));
  FURNACE_CHECK(write("cpu", "cpu.cfs_period_us", std::to_string(kPeriod)));
  return write("cpu", "cpu.cfs_quota_us", std::to_string(quota));
}

std::optional<uint32_t> Cgroup::cpu_percent() const {
  // Without a limit it is "max" or -1, which is no number here.
  const uint64_t quota = number("cpu", hierarchies_.unified ? "cpu.max" : "cpu.cfs_quota_us");
  if (quota == 0) return std::nullopt;
  return static_cast<uint32_t>(quota * 100 / kPeriod);
}

Status Cgroup::set(const Limits& limits) const {
  FURNACE_CHECK(set_cpu(limits.cpu_percent));
  const std::string memory = std::to_string(limits.memory_mb << 20);
  FURNACE_CHECK(write("pids", "pids.max", std::to_string(limits.processes)));
  if (hierarchies_.unified) {
    FURNACE_CHECK(write("memory", "memory.max", memory));
    // A partition ends as a whole: half of one is of no use, and would be hard to tell from a whole one.
    FURNACE_CHECK(write("memory", "memory.oom.group", "1"));
    (void)write("memory", "memory.swap.max", "0");  // a host without swap has no such file
    return {};
  }
  // With swap counted the limit of both may not be under that of memory, whichever is set first.
  (void)write("memory", "memory.memsw.limit_in_bytes", "-1");
  FURNACE_CHECK(write("memory", "memory.limit_in_bytes", memory));
  (void)write("memory", "memory.memsw.limit_in_bytes", memory);
  return {};
}

Status Cgroup::add(pid_t process) const {
  for (const fs::path& directory : directories())
    FURNACE_CHECK(write_to(directory / "cgroup.procs", std::to_string(process)));
  return {};
}

std::vector<pid_t> Cgroup::processes() const {
  std::vector<pid_t> all;
  const std::string listed = read_file(directory("cpu") / "cgroup.procs").value_or("");
  for (const std::string_view line : lines(listed))
    if (const auto process = parse_number<pid_t>(line)) all.push_back(*process);
  return all;
}

uint64_t Cgroup::number(std::string_view controller, std::string_view file, std::string_view key) const {
  const auto text = read_file(directory(controller) / file);
  if (!text) return 0;
  std::string_view value = *text;
  if (!key.empty()) {
    const size_t at = fmt::format("\n{}", value).find(fmt::format("\n{} ", key));
    if (at == std::string::npos) return 0;
    value.remove_prefix(at + key.size() + 1);
  }
  return take_number<uint64_t>(value).value_or(0);  // "max" is none
}

Usage Cgroup::usage() const {
  Usage usage;
  if (hierarchies_.unified) {
    usage.cpu_us = number("cpu", "cpu.stat", "usage_usec");
  } else if (hierarchies_.mounts.contains(kTime)) {
    usage.cpu_us = number(kTime, "cpuacct.usage") / 1000;
  }
  if (!hierarchies_.mounts.contains("pids")) return usage;  // a launcher's
  usage.processes = number("pids", "pids.current");
  usage.process_limit = number("pids", "pids.max");
  usage.fork_failures = number("pids", "pids.events", "max");
  if (hierarchies_.unified) {
    usage.memory = number("memory", "memory.current");
    usage.memory_most = number("memory", "memory.peak");
    usage.memory_limit = number("memory", "memory.max");
    usage.oom_kills = number("memory", "memory.events", "oom_kill");
    return usage;
  }
  usage.memory = number("memory", "memory.usage_in_bytes");
  usage.memory_most = number("memory", "memory.max_usage_in_bytes");
  usage.memory_limit = number("memory", "memory.limit_in_bytes");
  usage.oom_kills = number("memory", "memory.oom_control", "oom_kill");
  return usage;
}

Status Cgroup::kill() const {
  // Nothing is forked any more, so that the list gets shorter.
  if (hierarchies_.mounts.contains("pids")) (void)write("pids", "pids.max", "0");
  if (hierarchies_.unified) (void)write("cpu", "cgroup.kill", "1");
  constexpr int tries = 2000;
  for (int i = 0; i < tries; ++i) {
    const auto left = processes();
    if (left.empty()) return {};
    for (const pid_t process : left) ::kill(process, SIGKILL);
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  return fail(Errc::Failed, "cgroup '{}': {} processes did not end", name_, processes().size());
}

Status Cgroup::remove() const {
  FURNACE_CHECK(kill());
  for (const fs::path& directory : directories()) {
    constexpr int tries = 500;  // the last process is counted until it has exited completely
    for (int i = 0; ::rmdir(directory.c_str()) != 0; ++i) {
      if (errno == ENOENT) break;
      if (errno != EBUSY || i == tries) return fail_errno("{}", directory.string());
      std::this_thread::sleep_for(std::chrono::milliseconds(2));
    }
    ::rmdir(directory.parent_path().c_str());  // only if it was the last
  }
  return {};
}

}  // namespace furnace::sandbox
