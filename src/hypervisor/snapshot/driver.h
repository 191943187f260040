#pragma once

#include "hypervisor/driver.h"

namespace furnace::hypervisor {

extern const Driver kSnapshotDriver;

}  // namespace furnace::hypervisor
