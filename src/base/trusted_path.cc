#include "base/trusted_path.h"

#include <fcntl.h>
#include <pwd.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/bytes.h"

namespace furnace {
namespace {

std::string user_name(uid_t user) {
  const passwd* const entry = ::getpwuid(user);  // NOLINT(concurrency-mt-unsafe): before threads
  return entry != nullptr ? printable(entry->pw_name) : std::to_string(user);
}

class Walk {
 public:
  Walk(const std::filesystem::path& path, uid_t also, bool make)
      : path_(std::filesystem::absolute(path).lexically_normal()), also_(also), make_(make) {}

  Result<Fd> open(int flags) {
    Fd at(::open("/", O_PATH | O_DIRECTORY | O_CLOEXEC));  // NOLINT: variadic
    std::filesystem::path seen = "/";
    const std::filesystem::path relative = path_.relative_path();
    auto part = relative.begin();
    const auto end = relative.end();
    while (part != end && !part->empty()) {
      const std::string name = *part++;
      const bool last = part == end || part->empty();
      seen /= name;
      FURNACE_TRY(at, step(at, seen, name, last ? flags : O_PATH | O_DIRECTORY));
    }
    return at;
  }

 private:
  static constexpr int kMostLinks = 16;

  bool trusts(uid_t user) const { return user == 0 || user == ::geteuid() || user == also_; }

  /// One step. A link of a trusted user is followed, by a walk of its own from the root.
  Result<Fd> step(const Fd& at, const std::filesystem::path& seen, const std::string& name, int flags) {
    if (make_ && (flags & O_DIRECTORY) != 0) ::mkdirat(at.get(), name.c_str(), 0755);
    Fd found(::openat(at.get(), name.c_str(), O_PATH | O_NOFOLLOW | O_CLOEXEC));  // NOLINT: variadic
    struct stat status {};
    if (!found.valid() || ::fstat(found.get(), &status) != 0) return fail_errno("{}", seen.string());
    if (!trusts(status.st_uid))
      return fail(Errc::Denied,
                  "{} belongs to user {}, who could put something else there: choose another directory",
                  seen.string(), user_name(status.st_uid));
    if (S_ISLNK(status.st_mode)) return follow(seen, flags);
    constexpr mode_t others_write = S_IWOTH;
    if (S_ISDIR(status.st_mode) && (status.st_mode & others_write) != 0 && (status.st_mode & S_ISVTX) == 0)
      return fail(Errc::Denied,
                  "{} can be written by everybody, who could put something else there (chmod o-w)",
                  seen.string());
    if (flags == (O_PATH | O_DIRECTORY)) {
      if (!S_ISDIR(status.st_mode)) return fail(Errc::Invalid, "{}: not a directory", seen.string());
      return found;
    }
    // What is open is opened again, so that it is the same.
    Fd opened(::open(fmt::format("/proc/self/fd/{}", found.get()).c_str(), flags | O_CLOEXEC | O_NONBLOCK));
    if (!opened.valid()) return fail_errno("{}", seen.string());
    return opened;
  }

  Result<Fd> follow(const std::filesystem::path& link, int flags) {
    if (++links_ > kMostLinks) return fail(Errc::Invalid, "{}: too many links", link.string());
    std::error_code error;
    const auto target = std::filesystem::read_symlink(link, error);
    if (error) return fail(Errc::Failed, "{}: {}", link.string(), error.message());
    Walk walk(target.is_absolute() ? target : link.parent_path() / target, also_, false);
    walk.links_ = links_;
    return walk.open(flags);
  }

  std::filesystem::path path_;
  uid_t also_;
  bool make_;
  int links_ = 0;
};

}  // namespace

Result<Fd> open_trusted(const std::filesystem::path& path, int flags, uid_t also) {
  return Walk(path, also, false).open(flags);
}

Result<Fd> make_trusted_directory(const std::filesystem::path& path, uid_t also) {
  return Walk(path, also, true).open(O_RDONLY | O_DIRECTORY);
}

}  // namespace furnace
