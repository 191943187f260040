// A policy as a seccomp filter: what it allows at both levels is decided in the kernel, everything else is
// asked of the supervisor.
#pragma once

#include <linux/filter.h>

#include <vector>

#include "base/result.h"
#include "inspector/policy.h"

namespace furnace::inspector {

/// Other architectures' entries (32-bit, x32) are asked of the supervisor as well.
[[nodiscard]] Result<std::vector<sock_filter>> compile(const Policy& policy);

}  // namespace furnace::inspector
