// The way to the Xen driver without Xen's headers.
#pragma once

#include <memory>
#include <string>

#include "hypervisor/hypervisor.h"

namespace furnace::hypervisor {

/// `name`: of a domain, its number or its UUID.
[[nodiscard]] Result<std::unique_ptr<Hypervisor>> attach_xen(const std::string& name);

}  // namespace furnace::hypervisor
