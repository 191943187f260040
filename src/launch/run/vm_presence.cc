#include "launch/run/vm_presence.h"

#include "base/directory.h"
#include "hypervisor/drivers.h"

namespace furnace::launch {

bool served_elsewhere(const Manifest::Vmi& vm) {
  constexpr const char* lock = "vmi_rtr.lock";
  const auto directory = Directory::open(vm.directory, Care::Content);
  if (!directory || !directory->has(lock)) return false;
  const auto taken = directory->lock(lock);
  return !taken && taken.error().code() == Errc::Unavailable;
}

Status check_vm(const Manifest::Vmi& vm) {
  return served_elsewhere(vm) ? Status() : hypervisor::find_vm(vm.name, vm.driver);
}

}  // namespace furnace::launch
