#include "hypervisor/drivers.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "hypervisor/libvmi/driver.h"
#include "hypervisor/qemu/driver.h"
#include "hypervisor/simulator/driver.h"
#include "hypervisor/snapshot/driver.h"
#include "hypervisor/xen/driver.h"

namespace furnace::hypervisor {
namespace {

/// In the order in which "auto" asks them.
constexpr std::array kDrivers{&kSimulatorDriver, &kSnapshotDriver, &kXenDriver, &kQemuDriver, &kLibvmiDriver};

}  // namespace

std::vector<std::string> driver_names() {
  std::vector<std::string> names{"auto"};
  for (const Driver* driver : kDrivers) names.emplace_back(driver->name);
  return names;
}

std::string driver_help() {
  std::string text = "What holds the VM. auto: the first of these that can have it";
  for (const Driver* driver : kDrivers) {
    text += fmt::format("; {}: {}", driver->name, driver->summary);
    if (driver->missing != nullptr) text += fmt::format(" (not in this build: it needs {})", driver->missing);
  }
  return text;
}

Result<const Driver*> find_driver(const std::string& vm, const std::string& driver) {
  const auto chosen = std::find_if(kDrivers.begin(), kDrivers.end(), [&](const Driver* each) {
    return driver == "auto" ? each->claims(vm) : driver == each->name;
  });
  if (chosen == kDrivers.end()) return fail(Errc::Invalid, "VM '{}': there is no driver '{}'", vm, driver);
  if ((*chosen)->missing != nullptr)
    return fail(Errc::Unavailable, "VM '{}': this build has no driver '{}': it needs {}", vm, (*chosen)->name,
                (*chosen)->missing);
  return *chosen;
}

Status find_vm(const std::string& name, const std::string& driver) {
  FURNACE_TRY(const Driver* const chosen, find_driver(name, driver));
  return chosen->find(name);
}

Result<std::unique_ptr<Hypervisor>> attach(const std::string& name, const std::string& driver,
                                           RamAccess access, Fd scratch) {
  FURNACE_TRY(const Driver* const chosen, find_driver(name, driver));
  return chosen->attach(name, access, std::move(scratch));
}

}  // namespace furnace::hypervisor
