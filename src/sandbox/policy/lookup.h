// What a path means to a target: resolved in its root and from its directories, by descriptors, so that what
// is tested is what is used.
#pragma once

#include <fcntl.h>

#include <cstdint>
#include <string>

#include "sandbox/policy/target.h"

namespace furnace::policy {

struct Lookup {
  int directory = AT_FDCWD;  ///< of the target
  std::string path;
  bool follow = true;    ///< a link that is the last component
  uint64_t resolve = 0;  ///< RESOLVE_* of the target's own openat2
};

struct Found {
  Fd object;         ///< opened with O_PATH; not valid: there is none
  int error = 0;     ///< why there is none (ENOENT, EACCES, ...)
  std::string path;  ///< in the target's root, without links and dots; its own entry in /proc as /proc/self
  Fd parent;         ///< of what does not exist: where it would be made, if that exists
  std::string name;
};

/// What a target's paths start from. Opened with our rights; what is found in it, with the target's.
struct TargetView {
  Fd root, directory;
  std::string root_place;  ///< of the root, in the mount namespace's own terms
  pid_t process = 0;       ///< the target's own number in the /proc of its view
  bool ours = false;       ///< that /proc shows us as well
};
/// Fails if the target has exited. Without a directory: it has none with that number.
[[nodiscard]] Result<TargetView> open_view(const Target& target, const Target::Identity& identity,
                                           int directory);

[[nodiscard]] Found find(const TargetView& view, const Lookup& lookup);

/// The program that the target runs, as its root sees it.
[[nodiscard]] std::string executable(const Target& target);

/// While it lives this thread opens files with the target's rights, where we have more.
class AsTarget {
 public:
  AsTarget(const Target& target, const Target::Identity& identity);
  ~AsTarget();
  AsTarget(const AsTarget&) = delete;
  AsTarget& operator=(const AsTarget&) = delete;

 private:
  bool changed_ = false;
  int signal_at_parents_end_ = 0;
};

}  // namespace furnace::policy
