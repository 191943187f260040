// Starts a partition: bubblewrap, then furnace-enter inside, up to the program's own start.
#pragma once

#include <sys/types.h>

#include <memory>

#include "base/fd.h"
#include "base/result.h"
#include "sandbox/enter/plan.h"
#include "sandbox/partition.h"
#include "sandbox/reaper.h"

namespace furnace::sandbox {

struct Entered {
  pid_t bubblewrap = 0;  ///< our child; ends with the partition's exit code
  pid_t program = 0;     ///< the partition's first process, in our PID namespace
  Fd listener;           ///< of its filter, if it has one
  std::shared_ptr<const enter::Plan> plan;
  Fd output, errors;  ///< what it prints
};

/// `group`: joined before anything else runs. `reaper`: is notified of bubblewrap.
[[nodiscard]] Result<Entered> enter_partition(Partition& partition, const std::optional<Cgroup>& group,
                                              const Reaper& reaper);

/// Why furnace-enter gave up, if it did.
[[nodiscard]] Status entry_error(const Partition& partition, const enter::Plan& plan);

}  // namespace furnace::sandbox
