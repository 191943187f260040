#include "base/directory.h"

#include <fcntl.h>
#include <linux/openat2.h>
#include <pwd.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <climits>
#include <deque>

namespace furnace {
namespace {

namespace fs = std::filesystem;

bool is_trusted(uid_t user) {
  return user == 0 || user == ::geteuid() || is_partition_user(user);
}

bool others_write(const struct stat& directory) {
  const bool own_group =
      directory.st_gid == 0 || directory.st_gid == ::getegid() || is_partition_user(directory.st_uid);
  return (directory.st_mode & S_IWOTH) != 0 || ((directory.st_mode & S_IWGRP) != 0 && !own_group);
}

/// Others can put something of theirs there.
bool is_open_to_others(const struct stat& directory) {
  return !is_trusted(directory.st_uid) || others_write(directory);
}

/// Others can exchange what is there.
bool is_changed_by_others(const struct stat& directory) {
  return !is_trusted(directory.st_uid) || (others_write(directory) && (directory.st_mode & S_ISVTX) == 0);
}

std::string user_text(uid_t user) {
  const passwd* const entry = ::getpwuid(user);  // NOLINT(concurrency-mt-unsafe): before threads
  return entry != nullptr ? fmt::format("user {} ({})", user, entry->pw_name) : fmt::format("user {}", user);
}

tl::unexpected<Error> refuse(const fs::path& named, const fs::path& at, const struct stat& status) {
  const char* const way_out = "name a directory that only root and you can write to, as far as the root";
  if (!is_trusted(status.st_uid))
    return fail(Errc::Denied, "{}: {} belongs to {}, who could lead us elsewhere; {}", named.string(),
                at.string(), user_text(status.st_uid), way_out);
  return fail(Errc::Denied, "{}: others can write to {} (mode {:04o}); {}, or: chmod go-w {}", named.string(),
              at.string(), status.st_mode & 07777U, way_out, at.string());
}

struct Step {
  Fd fd;  ///< O_PATH
  struct stat status {};
};

Result<Step> step_to(int directory, const char* name) {
  Step step{Fd(::openat(directory, name, O_PATH | O_NOFOLLOW | O_CLOEXEC)), {}};  // NOLINT: variadic
  if (!step.fd.valid() || ::fstat(step.fd.get(), &step.status) != 0) return fail_errno("{}", name);
  return step;
}

/// Goes from the root, name by name.
class Walk {
 public:
  Walk(const fs::path& named, Care care, const unsigned* mode) : named_(named), care_(care), mode_(mode) {}

  /// `at` is what was reached so far, `container` the directory that it was found in.
  Status go() {
    if (named_.empty()) return fail(Errc::Invalid, "an empty path");
    FURNACE_CHECK(from_the_root());
    push(fs::absolute(named_));
    while (!names_.empty()) {
      const std::string name = std::move(names_.front());
      names_.pop_front();
      if (name.empty() || name == "." || name == "/") continue;
      if (!S_ISDIR(at.status.st_mode))
        return fail(Errc::Invalid, "{}: {} is no directory", named_.string(), path.string());
      FURNACE_CHECK(enter(name));
    }
    return {};
  }

  Step at, container;
  fs::path path;

 private:
  Status from_the_root() {
    FURNACE_TRY(at, step_to(AT_FDCWD, "/"));
    path = "/";
    return {};
  }

  void push(const fs::path& more) { names_.insert(names_.begin(), more.begin(), more.end()); }

  Status enter(const std::string& name) {
    if (care_ != Care::Links && is_changed_by_others(at.status)) return refuse(named_, path, at.status);
    auto next = step_to(at.fd.get(), name.c_str());
    if (!next && next.error().code() == Errc::NotFound && mode_ != nullptr) {
      constexpr unsigned on_the_way = 0755;
      if (::mkdirat(at.fd.get(), name.c_str(), names_.empty() ? *mode_ : on_the_way) != 0 && errno != EEXIST)
        return fail_errno("{}: {}", named_.string(), (path / name).string());
      next = step_to(at.fd.get(), name.c_str());
    }
    if (!next) return fail(next.error(), named_.string());
    if (S_ISLNK(next->status.st_mode)) return follow(name, *next);
    container = std::exchange(at, *std::move(next));
    path = name == ".." ? path.parent_path() : path / name;
    return {};
  }

  Status follow(const std::string& name, const Step& link) {
    // Partitions have their own directories, and make no links there.
    const uid_t maker = link.status.st_uid;
    const bool ours = maker == 0 || maker == ::geteuid();
    if (!ours || is_changed_by_others(at.status))
      return fail(Errc::Denied, "{}: {} is a link that {} could have made; name what it leads to",
                  named_.string(), (path / name).string(), user_text(ours ? at.status.st_uid : maker));
    constexpr int most_links = 40;  // as the kernel
    if (++links_ > most_links) return fail(Errc::Invalid, "{}: too many links", named_.string());
    std::string target(PATH_MAX, '\0');
    const ssize_t size = ::readlinkat(link.fd.get(), "", target.data(), target.size());
    if (size < 0) return fail_errno("{}", (path / name).string());
    target.resize(static_cast<size_t>(size));
    if (target.starts_with('/')) FURNACE_CHECK(from_the_root());
    push(target);
    return {};
  }

  const fs::path& named_;
  Care care_;
  const unsigned* mode_;
  std::deque<std::string> names_;
  int links_ = 0;
};

Result<Fd> open_beneath(int directory, const std::string& name, int flags, unsigned mode) {
  open_how how{};
  how.flags = static_cast<uint64_t>(flags | O_CLOEXEC | O_NONBLOCK);  // a FIFO must not keep us waiting
  how.mode = (flags & O_CREAT) != 0 ? mode : 0;
  how.resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS;
  Fd fd(static_cast<int>(::syscall(SYS_openat2, directory, name.c_str(), &how, sizeof how)));
  if (!fd.valid() && errno == ELOOP)
    return fail(Errc::Denied, "{}: is a link, which is not followed here; remove it", name);
  if (!fd.valid()) return fail_errno("{}", name);
  return fd;
}

/// Its status, if it is a regular file.
Result<struct stat> regular(const Fd& file, const std::string& name) {
  struct stat status {};
  if (::fstat(file.get(), &status) != 0) return fail_errno("{}", name);
  if (!S_ISREG(status.st_mode)) return fail(Errc::Invalid, "{}: not a regular file", name);
  if (::fcntl(file.get(), F_SETFL, 0) != 0) return fail_errno("{}", name);  // NOLINT: variadic
  return status;
}

}  // namespace

bool is_partition_user(uid_t user) {
  if (user == kPartitionsNumber) return true;
  const passwd* const entry = ::getpwnam("furnace");  // NOLINT(concurrency-mt-unsafe): before threads
  return entry != nullptr && entry->pw_uid == user;
}

Result<Directory> Directory::reach(const fs::path& path, Care care, const unsigned* mode) {
  Walk walk(path, care, mode);
  FURNACE_CHECK(walk.go());
  const struct stat& status = walk.at.status;
  if (!S_ISDIR(status.st_mode)) return fail(Errc::Invalid, "{}: no directory", path.string());
  if ((care == Care::Names && is_changed_by_others(status)) ||
      (care == Care::Content && is_open_to_others(status)))
    return refuse(path, walk.path, status);
  Fd fd(::openat(walk.at.fd.get(), ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC));  // NOLINT: variadic
  if (!fd.valid() && errno == EACCES) fd = std::move(walk.at.fd);  // it can be entered, not listed
  if (!fd.valid()) return fail_errno("{}", path.string());
  return Directory(std::move(fd), std::move(walk.path), status.st_uid);
}

Result<Directory> Directory::open(const fs::path& path, Care care) {
  return reach(path, care, nullptr);
}

Result<Directory> Directory::make(const fs::path& path, Care care, unsigned mode) {
  return reach(path, care, &mode);
}

Result<Fd> Directory::open_file(const std::string& name, int flags, unsigned mode) const {
  auto file = open_beneath(fd_.get(), name, flags & ~O_TRUNC, mode);
  if (!file) return fail(file.error(), path_.string());
  const auto status = regular(*file, name);
  if (!status) return fail(status.error(), path_.string());
  if (status->st_nlink > 1)
    return fail(Errc::Denied, "{}: has another name elsewhere (a hard link); remove it",
                (path_ / name).string());
  if ((flags & O_TRUNC) != 0 && ::ftruncate(file->get(), 0) != 0)
    return fail_errno("{}", (path_ / name).string());
  return file;
}

Result<Directory> Directory::open_directory(const std::string& name, unsigned mode) const {
  if (mode != 0 && ::mkdirat(fd_.get(), name.c_str(), mode) != 0 && errno != EEXIST)
    return fail_errno("{}", (path_ / name).string());
  auto opened = open_beneath(fd_.get(), name, O_RDONLY | O_DIRECTORY, 0);
  if (!opened) return fail(opened.error(), path_.string());
  struct stat status {};
  if (::fstat(opened->get(), &status) != 0) return fail_errno("{}", (path_ / name).string());
  return Directory(*std::move(opened), path_ / name, status.st_uid);
}

Result<Fd> Directory::lock(const std::string& name, bool sharing) const {
  FURNACE_TRY(Fd file, open_file(name, O_RDWR | O_CREAT, 0600));
  if (::flock(file.get(), (sharing ? LOCK_SH : LOCK_EX) | LOCK_NB) == 0) return file;
  if (errno == EWOULDBLOCK)
    return fail(Errc::Unavailable, "{}: held by another process", (path_ / name).string());
  return fail_errno("{}: flock", (path_ / name).string());
}

Status Directory::rename(const std::string& from, const std::string& to) const {
  if (::renameat(fd_.get(), from.c_str(), fd_.get(), to.c_str()) == 0) return {};
  return fail_errno("{}: rename", (path_ / to).string());
}

bool Directory::has(const std::string& name) const {
  return ::faccessat(fd_.get(), name.c_str(), F_OK, AT_SYMLINK_NOFOLLOW) == 0;
}

Result<NamedFile> open_named(const fs::path& path) {
  Walk walk(path, Care::Links, nullptr);
  FURNACE_CHECK(walk.go());
  if (!S_ISREG(walk.at.status.st_mode)) return fail(Errc::Invalid, "{}: not a regular file", path.string());
  auto file = open_beneath(walk.container.fd.get(), walk.path.filename(), O_RDONLY, 0);
  if (!file) return fail(file.error(), path.string());
  FURNACE_TRY(const struct stat status, regular(*file, path.string()));
  const struct stat& container = walk.container.status;
  const bool is_theirs = !is_trusted(container.st_uid) && status.st_uid == container.st_uid;
  if (status.st_nlink > 1 && is_open_to_others(container) && !is_theirs)
    return fail(Errc::Denied,
                "{}: a file of {} under a second name (a hard link), where others can write; name a copy",
                path.string(), user_text(status.st_uid));
  return NamedFile{*std::move(file), std::move(walk.path)};
}

Result<NamedPlace> place_of_file(const fs::path& path, Care care) {
  const fs::path whole = fs::absolute(path);
  if (!whole.has_filename()) return fail(Errc::Invalid, "{}: names a directory", path.string());
  auto directory = Directory::open(whole.parent_path(), care);
  if (!directory) return fail(directory.error(), path.string());  // the file that was asked for is named too
  return NamedPlace{*std::move(directory), whole.filename()};
}

}  // namespace furnace
