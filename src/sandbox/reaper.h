// Cleans up after a launcher that was killed: ends what is left of its partition and removes its cgroups.
#pragma once

#include <functional>

#include "base/fd.h"
#include "base/result.h"

namespace furnace::sandbox {

class Reaper {
 public:
  /// Starts a small process that runs `clean_up` if this one ends before the Reaper is destroyed.
  [[nodiscard]] static Result<Reaper> start(const std::function<void()>& clean_up);
  /// Has it kill a process group first.
  void watch(pid_t group) const;
  Reaper(Reaper&&) = default;
  Reaper& operator=(Reaper&&) = delete;
  /// Nothing is left to do.
  ~Reaper();

 private:
  Reaper(Fd pipe, pid_t pid) : pipe_(std::move(pipe)), pid_(pid) {}
  Fd pipe_;
  pid_t pid_;
};

}  // namespace furnace::sandbox
