#include "sandbox/launcher_group.h"

#include <unistd.h>

#include <algorithm>

#include "base/file.h"
#include "base/text.h"

namespace furnace::sandbox {
namespace {

/// The path of a group in its hierarchy, out of the lines of /proc/self/cgroup: "4:cpu,cpuacct:/a" or
/// "0::/a".
std::string path_in(const std::string& groups, const std::string& controller, bool unified) {
  for (const std::string_view line : lines(groups)) {
    const Cut controllers = cut(cut(line, ':').after, ':');
    if (!controllers.after.starts_with('/')) continue;
    bool wanted = unified && controllers.before.empty();
    for (const std::string_view each : items(controllers.before, ','))
      wanted = wanted || (!unified && each == controller);
    if (wanted) return std::string(controllers.after.substr(1));
  }
  return {};
}

Status move_self(const std::filesystem::path& group) {
  FURNACE_TRY(const Fd processes, open_file(group / "cgroup.procs", O_WRONLY));
  if (::write(processes.get(), "0", 1) != 1) return fail_errno("{}", group.string());
  return {};
}

}  // namespace

Result<LauncherGroup> LauncherGroup::make(const Hierarchies& hierarchies, const Cgroup& of_partition) {
  Hierarchies of_cpu{hierarchies.unified, {}};
  for (const auto& [controller, mount] : hierarchies.mounts)
    if (controller.starts_with("cpu")) of_cpu.mounts.emplace(controller, mount);
  FURNACE_TRY(Cgroup group,
              Cgroup::make_for_launcher(of_cpu, std::to_string(::getpid()), of_partition.cpu_percent()));
  return LauncherGroup(std::move(of_cpu), std::move(group));
}

Status LauncherGroup::enter() {
  FURNACE_TRY(const std::string groups, read_file("/proc/self/cgroup"));
  for (const auto& [controller, mount] : hierarchies_.mounts)
    before_.push_back(mount / path_in(groups, controller, hierarchies_.unified));
  return group_.add(::getpid());
}

void LauncherGroup::remove() {
  auto before = before_.begin();
  for (const auto& [controller, mount] : hierarchies_.mounts) {
    if (before == before_.end()) break;
    // Where a host shows a container another part of the hierarchy than it mounts, its root is what we can
    // reach.
    if (!move_self(*before++)) (void)move_self(mount);
  }
  before_.clear();
  // To remove it ends what is in it.
  const auto inside = group_.processes();
  if (std::find(inside.begin(), inside.end(), ::getpid()) == inside.end()) (void)group_.remove();
}

}  // namespace furnace::sandbox
