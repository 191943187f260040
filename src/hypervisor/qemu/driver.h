#pragma once

#include "hypervisor/driver.h"

namespace furnace::hypervisor {

extern const Driver kQemuDriver;

}  // namespace furnace::hypervisor
