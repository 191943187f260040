#include "hypervisor/snapshot/driver.h"

#include <filesystem>

#include "hypervisor/snapshot/snapshot.h"

namespace furnace::hypervisor {
namespace {

bool is_file(const std::string& name) {
  std::error_code ignored;
  return name.find('/') != std::string::npos || std::filesystem::is_regular_file(name, ignored);
}

Status find_snapshot(const std::string& name) {
  std::error_code ignored;
  if (std::filesystem::is_regular_file(name, ignored)) return {};
  return fail(Errc::NotFound, "VM '{}' does not exist: there is no such file", name);
}

}  // namespace

const Driver kSnapshotDriver{.name = "snapshot",
                             .summary = "a file with a VM's memory",
                             .claims = is_file,
                             .find = find_snapshot,
                             .attach = [](const std::string& name, RamAccess,
                                          Fd scratch) { return Snapshot::open(name, std::move(scratch)); },
                             .policy = "vmi-qemu",  // it needs less
                             .scratch = true};

}  // namespace furnace::hypervisor
