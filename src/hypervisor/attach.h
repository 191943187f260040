// The way to a VM, whatever holds it.
#pragma once

#include <memory>
#include <string>

#include "hypervisor/driver_names.h"
#include "hypervisor/hypervisor.h"

namespace furnace::hypervisor {

/// The driver that "auto" stands for; others stand for themselves.
[[nodiscard]] std::string driver_for(const std::string& name, const std::string& driver);

/// Whether there is such a VM, without attaching to it: Errc::NotFound says which there are. A driver that
/// can't tell finds all.
[[nodiscard]] Status find_vm(const std::string& name, const std::string& driver = "auto");

/// `name`: QEMU's -name, a Xen domain's name, number or UUID, or a file. `access`: whether the memory of a
/// QEMU may be written to. `scratch`: an empty file that some snapshots are written to in another order;
/// without it one in the directory for temporary files.
[[nodiscard]] Result<std::unique_ptr<Hypervisor>> attach(const std::string& name,
                                                         const std::string& driver = "auto",
                                                         RamAccess access = RamAccess::Read, Fd scratch = {});

}  // namespace furnace::hypervisor
