// The table of drivers, and the way to a VM, whatever holds it.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "hypervisor/driver.h"

namespace furnace::hypervisor {

/// The words that name a driver: "auto", and each driver's name.
[[nodiscard]] std::vector<std::string> driver_names();
/// What each of them means, for --help.
[[nodiscard]] std::string driver_help();

/// `driver`: a name, or "auto". Errc::Invalid if there is none of that name; Errc::Unavailable says what this
/// build lacks for it.
[[nodiscard]] Result<const Driver*> find_driver(const std::string& vm, const std::string& driver = "auto");

/// Driver::find of the driver that is chosen.
[[nodiscard]] Status find_vm(const std::string& name, const std::string& driver = "auto");

/// Driver::attach of the driver that is chosen. `name`: QEMU's -name, a Xen domain's name, number or UUID, or
/// a file. Without `scratch`, a file in the directory for temporary files is used.
[[nodiscard]] Result<std::unique_ptr<Hypervisor>> attach(const std::string& name,
                                                         const std::string& driver = "auto",
                                                         RamAccess access = RamAccess::Read, Fd scratch = {});

}  // namespace furnace::hypervisor
