// VMs that are files: what the drivers of snapshots and of simulated guests share.
#pragma once

#include <string>

#include "base/result.h"

namespace furnace::hypervisor {

/// Returns true if the name of a VM is that of a file: it has a '/', or there is such a file.
[[nodiscard]] bool is_file_name(const std::string& name);

/// Errc::NotFound if there is no such file.
[[nodiscard]] Status find_vm_file(const std::string& name);

}  // namespace furnace::hypervisor
