// The points of the gdb stub that make a watch.
#pragma once

#include <vector>

#include "hypervisor/events.h"
#include "hypervisor/qemu/stub.h"

namespace furnace::hypervisor {

/// Ranges are cut into pieces, because the stub reports which point was hit, not where.
[[nodiscard]] Result<std::vector<StubPoint>> points_of(const Watch& watch);

/// Whether accesses are reported with what they were.
[[nodiscard]] bool reports_access(const Watch& watch);

}  // namespace furnace::hypervisor
