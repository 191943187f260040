// Looks at a VM beside a partition that holds QEMU's only socket: through its broker.
#pragma once

#include <filesystem>
#include <memory>
#include <string>

#include "hypervisor/hypervisor.h"

namespace furnace::hypervisor {

/// Where the broker of a QEMU listens for visitors: in a directory of this user alone.
[[nodiscard]] std::filesystem::path broker_socket(pid_t qemu);

/// Attaches as a visitor: registers, memory to be read, and pauses; no events. Errc::NotFound if no broker of
/// this user's has the VM.
[[nodiscard]] Result<std::unique_ptr<Hypervisor>> visit_qemu(const std::string& name);

}  // namespace furnace::hypervisor
