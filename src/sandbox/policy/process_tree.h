// All processes below this one.
#pragma once

#include <sys/types.h>

#include <vector>

namespace furnace::policy {

/// Makes this process the parent of processes whose own parents end before them.
void adopt_orphans();

[[nodiscard]] std::vector<pid_t> descendants(pid_t of);

/// Kills what runs below this process until nothing is left, and takes the exit states. `keep` stays to be
/// waited for.
void kill_descendants(pid_t keep);

}  // namespace furnace::policy
