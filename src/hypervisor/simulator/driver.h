#pragma once

#include "hypervisor/driver.h"

namespace furnace::hypervisor {

extern const Driver kSimulatorDriver;

}  // namespace furnace::hypervisor
