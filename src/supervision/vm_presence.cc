#include "supervision/vm_presence.h"

#include "base/file.h"
#include "hypervisor/attach.h"

namespace furnace::supervision {

bool served_elsewhere(const Manifest::Vmi& vm) {
  std::error_code ignored;
  const auto lock = vm.directory / "vmi_rtr.lock";
  if (!std::filesystem::exists(lock, ignored)) return false;
  const auto taken = lock_file(lock);
  return !taken && taken.error().code() == Errc::Unavailable;
}

Status check_vm(const Manifest::Vmi& vm) {
  return served_elsewhere(vm) ? Status() : hypervisor::find_vm(vm.name, vm.driver);
}

}  // namespace furnace::supervision
