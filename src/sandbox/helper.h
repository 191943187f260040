// Walls around a process that we fork and that executes nothing: a broker.
#pragma once

#include <filesystem>
#include <functional>

#include "base/result.h"

namespace furnace::sandbox {

/// Reads the policy; what is returned is called in that process, before it does anything for others. Then it
/// has no privileges and no user's rights (those of the partitions' account if it was root), can't be traced,
/// and is killed at the first system call that the policy doesn't allow. The policy can only say what needs
/// no supervisor: nothing about paths and addresses, and the same for both levels.
[[nodiscard]] Result<std::function<Status()>> confine_helper(const std::filesystem::path& policy);

}  // namespace furnace::sandbox
