// Reads a VM beside a partition that holds QEMU's only socket: through its broker.
#pragma once

#include <filesystem>
#include <functional>
#include <string>

#include "hypervisor/qemu/broker.h"

namespace furnace::hypervisor {

/// Where the broker of a QEMU listens for visitors: in a directory of only this user.
[[nodiscard]] std::filesystem::path broker_socket(pid_t qemu);

/// For a reader: attaches as a visitor to the broker of a partition, and leaves that to a process of its own,
/// as `lend_qemu` does. Errc::NotFound if no broker of this user's has the VM.
[[nodiscard]] Result<Lent> lend_visit(const std::string& name, const std::function<Status()>& confine);

}  // namespace furnace::hypervisor
