// The way to the LibVMI driver without LibVMI's headers.
#pragma once

#include <memory>
#include <string>

#include "hypervisor/hypervisor.h"

namespace furnace::hypervisor {

/// `name`: of a VM that one of LibVMI's own drivers knows, or a file of raw memory.
[[nodiscard]] Result<std::unique_ptr<Hypervisor>> attach_libvmi(const std::string& name);

}  // namespace furnace::hypervisor
