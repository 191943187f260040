// A policy as a seccomp filter: what it allows at both levels is decided in the kernel, everything else is
// asked of the supervisor.
#pragma once

#include <linux/filter.h>

#include <vector>

#include "base/result.h"
#include "sandbox/policy/policy.h"

namespace furnace::policy {

/// What becomes of calls that the filter does not decide.
enum class Unruled : uint8_t {
  Ask,   ///< the supervisor
  Kill,  ///< the process: there is no supervisor
};

/// Other architectures' entries (32-bit, x32) are not decided by the filter.
[[nodiscard]] Result<std::vector<sock_filter>> compile(const Policy& policy, Unruled unruled = Unruled::Ask);

}  // namespace furnace::policy
