#include "sandbox/policy/lookup.h"

#include <fmt/format.h>
#include <grp.h>
#include <linux/capability.h>
#include <linux/limits.h>
#include <linux/openat2.h>
#include <sys/fsuid.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <span>
#include <vector>

namespace furnace::policy {
namespace {

Fd open_in(const Fd& root, const std::string& path, bool follow, uint64_t resolve) {
  open_how how{};
  how.flags = O_PATH | O_CLOEXEC | (follow ? 0ULL : O_NOFOLLOW);
  // Magic links would lead to what the supervisor has open, not the target.
  how.resolve = resolve | RESOLVE_NO_MAGICLINKS;
  constexpr int tries = 32;  // a rename meanwhile gives EAGAIN
  int descriptor = -1;
  for (int i = 0; i < tries; ++i) {
    descriptor = static_cast<int>(::syscall(SYS_openat2, root.get(), path.c_str(), &how, sizeof how));
    if (descriptor >= 0 || errno != EAGAIN) break;
  }
  return Fd(descriptor);
}

/// Where the object is by the kernel's account, in the mount namespace's own terms.
std::string place_of(const Fd& object) {
  std::string path(PATH_MAX, '\0');
  const ssize_t size =
      ::readlink(fmt::format("/proc/self/fd/{}", object.get()).c_str(), path.data(), path.size());
  path.resize(static_cast<size_t>(std::max<ssize_t>(size, 0)));
  return path;
}

/// The same seen from `root`; empty: it does not lie below it.
std::string below(const std::string& root, const std::string& path) {
  if (root == "/") return path;
  if (path == root) return "/";
  if (path.starts_with(root) && path[root.size()] == '/') return path.substr(root.size());
  return {};
}

/// Of the view of a process: it is /proc/self in it that the process means, not ours.
std::string with_own_process(std::string path, pid_t process) {
  for (const std::string_view alias : {"/proc/self", "/proc/thread-self"})
    if (path.starts_with(alias) && (path.size() == alias.size() || path[alias.size()] == '/'))
      return fmt::format("/proc/{}{}", process, path.substr(alias.size()));
  return path;
}

std::string as_self(std::string path, pid_t process) {
  const std::string own = fmt::format("/proc/{}", process);
  if (path.starts_with(own) && (path.size() == own.size() || path[own.size()] == '/'))
    return "/proc/self" + path.substr(own.size());
  return path;
}

/// Where each component of an absolute path begins.
std::vector<size_t> component_starts(std::string_view path) {
  std::vector<size_t> starts;
  for (size_t at = 0; (at = path.find_first_not_of('/', at)) != std::string_view::npos;) {
    starts.push_back(at);
    at = std::min(path.find('/', at), path.size());
  }
  return starts;
}

/// The components from there on, with one slash between two.
std::string joined(std::string_view path, std::span<const size_t> starts) {
  std::string text;
  for (const size_t start : starts)
    text += fmt::format("{}{}", text.empty() ? "" : "/", path.substr(start, path.find('/', start) - start));
  return text;
}

/// What is not there is tested by where it would be: below the nearest directory that exists. The target
/// chooses how many components there are, so that not each of them is tried: where one exists, so do those
/// before it.
void find_parent(const Fd& root, const std::string& root_place, const std::string& absolute, Found& found) {
  const std::vector<size_t> starts = component_starts(absolute);
  if (starts.empty()) return;
  const auto open_before = [&](size_t start) {
    const size_t end = absolute.find_last_not_of('/', start - 1);
    return open_in(root, end == std::string::npos ? "/" : absolute.substr(0, end + 1), true, RESOLVE_IN_ROOT);
  };
  found.name = joined(absolute, std::span(starts).last(1));
  Fd parent = open_before(starts.back());
  size_t missing = starts.size() - 1;
  const bool is_nearest = parent.valid();
  if (!is_nearest && missing > 0) {
    const auto there = std::partition_point(starts.begin() + 1, starts.end() - 1,
                                            [&](size_t start) { return open_before(start).valid(); });
    missing = static_cast<size_t>(there - starts.begin()) - 1;
    parent = open_before(starts[missing]);
  }
  const std::string place = parent.valid() ? below(root_place, place_of(parent)) : "";
  found.path = place.empty()
                   ? ""
                   : (place == "/" ? "" : place) + "/" + joined(absolute, std::span(starts).subspan(missing));
  if (is_nearest) found.parent = std::move(parent);
}

}  // namespace

Result<TargetView> open_view(const Target& target, const Target::Identity& identity, int directory) {
  TargetView view;
  FURNACE_TRY(view.root, open_file(target.entry("root"), O_PATH | O_DIRECTORY));
  view.root_place = place_of(view.root);
  const std::string entry = directory == AT_FDCWD ? "cwd" : fmt::format("fd/{}", directory);
  if (auto opened = open_file(target.entry(entry), O_PATH)) view.directory = *std::move(opened);
  // A process of another PID namespace may still see our /proc, where its own number is another process's.
  struct stat theirs {
  }, ours{};
  view.ours = ::fstatat(view.root.get(), "proc", &theirs, AT_SYMLINK_NOFOLLOW) == 0 &&
              ::stat("/proc", &ours) == 0 && theirs.st_dev == ours.st_dev;
  view.process = view.ours ? identity.process : identity.process_inside;
  return view;
}

namespace {

Found find_anywhere(const TargetView& view, const Lookup& lookup) {
  Found found;
  found.error = ENOENT;
  if (lookup.path.empty()) return found;
  std::string absolute = lookup.path;
  const bool confined = (lookup.resolve & (RESOLVE_BENEATH | RESOLVE_IN_ROOT)) != 0;
  if (absolute[0] != '/' || confined) {
    if (!view.directory.valid()) {
      found.error = lookup.directory == AT_FDCWD ? ENOENT : EBADF;
      return found;
    }
    const std::string place = below(view.root_place, place_of(view.directory));
    if (confined) {
      found.object = open_in(view.directory, absolute, lookup.follow, lookup.resolve);
      found.error = found.object.valid() ? 0 : errno;
      found.path =
          found.object.valid() ? below(view.root_place, place_of(found.object)) : place + "/" + absolute;
      return found;
    }
    if (place.empty()) return found;
    absolute = (place == "/" ? "" : place) + "/" + absolute;
  }
  absolute = with_own_process(absolute, view.process);
  found.object = open_in(view.root, absolute, lookup.follow, lookup.resolve | RESOLVE_IN_ROOT);
  found.error = found.object.valid() ? 0 : errno;
  if (found.object.valid()) {
    found.path = below(view.root_place, place_of(found.object));
  } else {
    find_parent(view.root, view.root_place, absolute, found);
  }
  return found;
}

}  // namespace

Found find(const TargetView& view, const Lookup& lookup) {
  Found found = find_anywhere(view, lookup);
  // Our own entry is out of bounds: a link to /proc/self leads there.
  if (const std::string ours = fmt::format("/proc/{}", ::getpid());
      view.ours && (found.path == ours || found.path.starts_with(ours + "/")))
    return {{}, EACCES, found.path, {}, {}};
  found.path = as_self(found.path, view.process);
  return found;
}

std::string executable(const Target& target) {
  const auto root = open_file(target.entry("root"), O_PATH), program = open_file(target.entry("exe"), O_PATH);
  return root && program ? below(place_of(*root), place_of(*program)) : "";
}

namespace {

constexpr uint64_t bit(int capability) {
  return 1ULL << capability;
}
/// What the way back needs. Not the right to trace: it opens files of /proc.
constexpr uint64_t kOwn = bit(CAP_SETUID) | bit(CAP_SETGID);
/// What opens files to a process.
constexpr uint64_t kOfFiles = bit(CAP_DAC_OVERRIDE) | bit(CAP_DAC_READ_SEARCH) | bit(CAP_FOWNER) |
                              bit(CAP_CHOWN) | bit(CAP_FSETID) | bit(CAP_MKNOD) | bit(CAP_LINUX_IMMUTABLE);

struct Capabilities {
  __user_cap_header_struct header{_LINUX_CAPABILITY_VERSION_3, 0};
  std::array<__user_cap_data_struct, 2> data{};
  Capabilities() { ::syscall(SYS_capget, &header, data.data()); }
  void set_effective(uint64_t wanted) {
    data[0].effective = static_cast<uint32_t>(wanted) & data[0].permitted;
    data[1].effective = static_cast<uint32_t>(wanted >> 32) & data[1].permitted;
    ::syscall(SYS_capset, &header, data.data());
  }
};

bool same_user_namespace(const Target& target) {
  const auto inode = [](const std::string& path) {
    struct stat status {};
    return ::stat(path.c_str(), &status) == 0 ? status.st_ino : 0;
  };
  static const ino_t ours = inode("/proc/self/ns/user");  // a process of one thread never changes it
  return ours != 0 && inode(target.entry("ns/user")) == ours;
}

}  // namespace

AsTarget::AsTarget(const Target& target, const Target::Identity& identity) {
  ::umask(identity.umask);
  if (::geteuid() != 0) return;  // our rights are those of a user; the kernel keeps to them
  const uint64_t held = identity.capabilities & kOfFiles;
  const uint64_t lent = held != 0 && same_user_namespace(target) ? held : 0;
  if (identity.filesystem_user == 0 && lent == kOfFiles) return;
  changed_ = true;
  ::prctl(PR_GET_PDEATHSIG, &signal_at_parents_end_);
  // Only for this thread: glibc's functions change all of them.
  ::syscall(SYS_setgroups, identity.groups.size(), identity.groups.data());
  ::setfsgid(identity.filesystem_group);
  ::setfsuid(identity.filesystem_user);
  Capabilities().set_effective(kOwn | lent);
}

AsTarget::~AsTarget() {
  if (!changed_) return;
  ::setfsuid(0);
  ::setfsgid(0);
  Capabilities().set_effective(UINT64_MAX);
  ::syscall(SYS_setgroups, 0, nullptr);
  // The kernel forgets it with every change of rights (kernel/cred.c, commit_creds).
  ::prctl(PR_SET_PDEATHSIG, signal_at_parents_end_);
}

}  // namespace furnace::policy
