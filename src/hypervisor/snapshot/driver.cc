#include "hypervisor/snapshot/driver.h"

#include "hypervisor/snapshot/snapshot.h"
#include "hypervisor/vm_file.h"

namespace furnace::hypervisor {
const Driver kSnapshotDriver{.name = "snapshot",
                             .summary = "a file with a VM's memory",
                             .claims = is_file_name,
                             .find = find_vm_file,
                             .attach = [](const std::string& name, RamAccess,
                                          Fd scratch) { return Snapshot::open(name, std::move(scratch)); },
                             .policy = "vmi-qemu",  // it needs less
                             .scratch = true};

}  // namespace furnace::hypervisor
