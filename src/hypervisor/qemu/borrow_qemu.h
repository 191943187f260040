// The QEMU driver of a confined VMI partition.
#pragma once

#include <memory>
#include <string>

#include "hypervisor/hypervisor.h"

namespace furnace::hypervisor {

/// `text` of `lend_qemu`, whose descriptors are open here.
[[nodiscard]] Result<std::unique_ptr<Hypervisor>> borrow_qemu(const std::string& text);

}  // namespace furnace::hypervisor
