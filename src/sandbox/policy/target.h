// A thread that waits for the supervisor's decision.
#pragma once

#include <sys/types.h>

#include <cstddef>
#include <functional>
#include <span>
#include <string>
#include <vector>

#include "base/fd.h"
#include "base/result.h"

namespace furnace::policy {

class Target {
 public:
  /// `waits`: whether the thread still waits for us; once it does not, its number may be another's.
  explicit Target(pid_t thread, std::function<bool()> waits = {})
      : thread_(thread), waits_(std::move(waits)) {}

  [[nodiscard]] pid_t thread() const { return thread_; }
  [[nodiscard]] bool waits() const { return !waits_ || waits_(); }
  /// /proc/<thread>/`entry`.
  [[nodiscard]] std::string entry(std::string_view entry) const;

  /// A path in its memory; EFAULT, ENAMETOOLONG as Result's code is of no use here: negative errno.
  [[nodiscard]] int read_path(uint64_t address, std::string& path) const;
  [[nodiscard]] bool read(uint64_t address, std::span<std::byte> out) const;
  /// Into the memory of the thread that waits, and no other's.
  [[nodiscard]] bool write(uint64_t address, std::span<const std::byte> data) const;

  /// What /proc/<thread>/status says of it.
  struct Identity {
    pid_t process = 0;         ///< in our PID namespace
    pid_t process_inside = 0;  ///< in its own
    uid_t filesystem_user = 0;
    gid_t filesystem_group = 0;
    std::vector<gid_t> groups;
    mode_t umask = 022;
    uint64_t capabilities = 0;  ///< effective ones
  };
  [[nodiscard]] Result<Identity> identity() const;
  /// Its executable, as far as it can be read.
  [[nodiscard]] std::string program() const;

 private:
  pid_t thread_;
  std::function<bool()> waits_;
};

}  // namespace furnace::policy
