#include "sandbox/policy/actions.h"

#include <fmt/format.h>
#include <linux/limits.h>
#include <linux/openat2.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <algorithm>

namespace furnace::policy {
namespace {

int read_open(const Target& target, const seccomp_data& data, PathRequest& request) {
  switch (data.nr) {
    case SYS_creat:
      request.flags = O_CREAT | O_WRONLY | O_TRUNC;
      request.mode = data.args[1];
      break;
    case SYS_open:
      request.flags = data.args[1];
      request.mode = data.args[2];
      break;
    case SYS_openat:
      request.flags = data.args[2];
      request.mode = data.args[3];
      break;
    default: {  // openat2
      open_how how{};
      if (data.args[3] < sizeof how) return -EINVAL;
      if (data.args[3] > sizeof how) return -E2BIG;  // a newer kernel's, which we would not understand
      if (!target.read(data.args[2], std::as_writable_bytes(std::span(&how, 1)))) return -EFAULT;
      request.flags = how.flags;
      request.mode = how.mode;
      request.lookup.resolve = how.resolve;
    }
  }
  const bool new_only = (request.flags & (O_CREAT | O_EXCL)) == (O_CREAT | O_EXCL);
  request.lookup.follow = (request.flags & O_NOFOLLOW) == 0 && !new_only;
  return 0;
}

/// AT_* flags, and which of them the call has.
void read_flags(const seccomp_data& data, PathRequest& request) {
  switch (data.nr) {
    case SYS_lstat:
      request.flags = AT_SYMLINK_NOFOLLOW;
      break;
    case SYS_newfstatat:
    case SYS_faccessat2:
      request.flags = data.args[3];
      break;
    case SYS_statx:
      request.flags = data.args[2];
      break;
    case SYS_execveat:
      request.flags = data.args[4];
      break;
    case SYS_readlink:
    case SYS_readlinkat:
      request.flags = AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH;
      break;
    default:
      break;
  }
  request.lookup.follow = (request.flags & AT_SYMLINK_NOFOLLOW) == 0;
}

template <typename T>
Outcome written(uint64_t to, std::span<T> content, int64_t value = 0) {
  const auto bytes = std::as_bytes(content);
  return {value, {}, false, to, {bytes.begin(), bytes.end()}};
}

Outcome error(int number) {
  return {-number, {}, false, 0, {}};
}

Outcome open_object(const PathRequest& request, const Found& found) {
  const auto flags = static_cast<int>(request.flags);
  const bool creates = (flags & O_CREAT) != 0;
  const auto mode = static_cast<mode_t>(request.mode);
  Outcome outcome{0, {}, (flags & O_CLOEXEC) != 0, 0, {}};
  if (!found.object.valid()) {
    if (!creates || !found.parent.valid() || found.error != ENOENT) return error(found.error);
    if (request.lookup.path.ends_with('/')) return error(EISDIR);
    outcome.opened =
        Fd(::openat(found.parent.get(), found.name.c_str(), flags | O_NOFOLLOW | O_CLOEXEC, mode));
    return outcome.opened.valid() ? std::move(outcome) : error(errno);
  }
  if (creates && (flags & O_EXCL) != 0) return error(EEXIST);
  struct stat object {};
  if (::fstat(found.object.get(), &object) != 0) return error(errno);
  const bool is_link = S_ISLNK(object.st_mode);
  if (is_link && (flags & O_PATH) == 0) return error(ELOOP);
  // Our terminal is none of the target's, unless it shares our session: then it was given to it.
  if (S_ISCHR(object.st_mode) && object.st_rdev == makedev(5, 0)) return error(ENXIO);
  const std::string reopened = fmt::format("/proc/self/fd/{}", found.object.get());
  if (is_link) {
    outcome.opened = Fd(::fcntl(found.object.get(), F_DUPFD_CLOEXEC, 0));
    return outcome;
  }
  int wanted = (flags & ~(O_CREAT | O_EXCL | O_NOFOLLOW)) | O_NOCTTY | O_CLOEXEC;
  // A FIFO would keep us until its other end comes.
  const bool waits = S_ISFIFO(object.st_mode) && (flags & (O_NONBLOCK | O_PATH)) == 0;
  if (waits) wanted |= O_NONBLOCK;
  if ((flags & O_TMPFILE) == O_TMPFILE) {
    outcome.opened = Fd(::open(reopened.c_str(), wanted, mode));
  } else {
    outcome.opened = Fd(::open(reopened.c_str(), wanted));
  }
  if (!outcome.opened.valid()) return error(errno);
  if (waits) ::fcntl(outcome.opened.get(), F_SETFL, flags & ~O_NONBLOCK);
  return outcome;
}

Outcome stat_object(const PathRequest& request, const Found& found, const seccomp_data& data) {
  if (data.nr == SYS_statx) {
    struct statx status {};
    const auto flags = static_cast<int>(request.flags & AT_STATX_SYNC_TYPE) | AT_EMPTY_PATH;
    if (::statx(found.object.get(), "", flags, static_cast<unsigned>(data.args[3]), &status) != 0)
      return error(errno);
    return written(data.args[4], std::span(&status, 1));
  }
  struct stat status {};
  if (::fstatat(found.object.get(), "", &status, AT_EMPTY_PATH) != 0) return error(errno);
  const uint64_t to = data.nr == SYS_newfstatat ? data.args[2] : data.args[1];
  return written(to, std::span(&status, 1));
}

Outcome access_object(const PathRequest& request, const Found& found, const seccomp_data& data) {
  const uint64_t mode = data.nr == SYS_access ? data.args[1] : data.args[2];
  const int flags = static_cast<int>(request.flags & AT_EACCESS) | AT_EMPTY_PATH;
  if (::syscall(SYS_faccessat2, found.object.get(), "", static_cast<int>(mode), flags) != 0)
    return error(errno);
  return {};
}

Outcome read_link(const Found& found, const seccomp_data& data) {
  const size_t shift = data.nr == SYS_readlinkat ? 1 : 0;
  const auto size = static_cast<int32_t>(data.args[2 + shift]);
  if (size <= 0) return error(EINVAL);
  std::string text(PATH_MAX, '\0');
  const ssize_t length = ::readlinkat(found.object.get(), "", text.data(), text.size());
  if (length < 0) return error(errno == ENOENT ? EINVAL : errno);
  text.resize(std::min(static_cast<size_t>(length), static_cast<size_t>(size)));
  return written(data.args[1 + shift], std::span(text), static_cast<int64_t>(text.size()));
}

}  // namespace

int read_request(const Target& target, const PathCall& call, const seccomp_data& data, PathRequest& request) {
  request.call = &call;
  request.lookup.directory = call.directory >= 0 ? static_cast<int32_t>(data.args[call.directory]) : AT_FDCWD;
  if (call.family == Family::Open) {
    if (const int result = read_open(target, data, request); result != 0) return result;
  } else {
    read_flags(data, request);
  }
  const uint64_t address = data.args[call.path];
  const bool may_be_empty = call.family != Family::Open && (request.flags & AT_EMPTY_PATH) != 0;
  if (may_be_empty && address == 0) {
    request.by_descriptor = true;
    return 0;
  }
  if (const int result = target.read_path(address, request.lookup.path); result != 0) return result;
  request.by_descriptor = may_be_empty && request.lookup.path.empty();
  return 0;
}

Outcome perform(const PathRequest& request, const Found& found, const seccomp_data& data) {
  if (request.call->family == Family::Open) return open_object(request, found);
  if (!found.object.valid()) return error(found.error);
  if (request.lookup.path.ends_with('/')) {
    struct stat object {};
    if (::fstat(found.object.get(), &object) == 0 && !S_ISDIR(object.st_mode)) return error(ENOTDIR);
  }
  switch (request.call->family) {
    case Family::Stat:
      return stat_object(request, found, data);
    case Family::Access:
      return access_object(request, found, data);
    default:
      return read_link(found, data);
  }
}

}  // namespace furnace::policy
