// Files and directories that the operator names, reached so that no other user decides where the way leads.
// What runs as root makes, gives away, binds and removes only by these.
#pragma once

#include <sys/types.h>

#include <filesystem>
#include <string>

#include "base/fd.h"
#include "base/result.h"

namespace furnace {

/// Without the account "furnace" partitions of root run under this number, which no account has: 65000 to
/// 65533 are reserved (Debian Policy, 9.2.2).
inline constexpr uid_t kPartitionsNumber = 65432;

/// That number, or the account "furnace". Directories of theirs are as good as root's: root gave them away.
[[nodiscard]] bool is_partition_user(uid_t user);

/// What must hold of the way to a directory. A link on it is followed only if root or we have made it, in a
/// directory that is not another user's.
enum class Care {
  Links,   ///< no more than that: for a file that is newly made there, and is found by its descriptor
  Names,   ///< no other user can exchange a name on the way: for what is used by its path later
  Content  ///< nor make anything in the directory: for what is given away, bound into a view, or trusted
};

/// A directory, open. Another user: not root, not we, not the partitions' account.
class Directory {
 public:
  /// Errc::Denied, with the name on the way and the way out, where `care` does not hold.
  [[nodiscard]] static Result<Directory> open(const std::filesystem::path& path, Care care);
  /// The same; what is missing is made, the last one with `mode`.
  [[nodiscard]] static Result<Directory> make(const std::filesystem::path& path, Care care,
                                              unsigned mode = 0755);

  [[nodiscard]] int descriptor() const { return fd_.get(); }
  /// Without links. Where others can exchange no name (Care) it leads here for as long as the directory is
  /// there.
  [[nodiscard]] const std::filesystem::path& path() const { return path_; }
  [[nodiscard]] uid_t owner() const { return owner_; }

  /// A regular file in it: no link to one, no other name of one that is elsewhere, no FIFO. `flags` of
  /// open(2).
  [[nodiscard]] Result<Fd> open_file(const std::string& name, int flags, unsigned mode = 0) const;
  /// A directory in it, not a link to one; with `mode` it is made if it is missing.
  [[nodiscard]] Result<Directory> open_directory(const std::string& name, unsigned mode = 0) const;
  /// An exclusive lock on a file that is made if missing; Errc::Unavailable when another process holds it.
  /// `sharing`: a lock that others can share.
  [[nodiscard]] Result<Fd> lock(const std::string& name, bool sharing = false) const;
  [[nodiscard]] Status rename(const std::string& from, const std::string& to) const;
  [[nodiscard]] bool has(const std::string& name) const;

 private:
  Directory(Fd fd, std::filesystem::path path, uid_t owner)
      : fd_(std::move(fd)), path_(std::move(path)), owner_(owner) {}
  static Result<Directory> reach(const std::filesystem::path& path, Care care, const unsigned* mode);

  Fd fd_;
  std::filesystem::path path_;
  uid_t owner_ = 0;
};

/// A regular file that a user named, for reading. In a directory that others can write to it must be
/// theirs, or have no other name: a hard link would make us read what they can't.
struct NamedFile {
  Fd file;
  std::filesystem::path path;  ///< without links
};
[[nodiscard]] Result<NamedFile> open_named(const std::filesystem::path& path);

/// The directory that contains the file named `path`, and its name there.
struct NamedPlace {
  Directory directory;
  std::string name;
};
[[nodiscard]] Result<NamedPlace> place_of_file(const std::filesystem::path& path, Care care);

}  // namespace furnace
