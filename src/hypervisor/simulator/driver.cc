#include "hypervisor/simulator/driver.h"

#include "hypervisor/simulator/simulator.h"
#include "hypervisor/vm_file.h"

namespace furnace::hypervisor {
namespace {

bool is_description(const std::string& name) {
  return name.ends_with(".toml");
}

/// Any other name is that of the VM that every build has in it.
Result<std::unique_ptr<Hypervisor>> attach_simulated(const std::string& name, RamAccess /*access*/,
                                                     Fd /*scratch*/) {
  SimulatedGuest guest = default_guest();
  guest.name = name;
  if (is_description(name)) {
    FURNACE_TRY(guest, load_guest(name));
  }
  FURNACE_TRY(auto simulator, Simulator::make(guest));
  return simulator;
}

}  // namespace

const Driver kSimulatorDriver{
    .name = "simulator",
    .summary = "a simulated guest, from a .toml file",
    .claims = [](const std::string& name) { return is_description(name) && is_file_name(name); },
    .find = [](const std::string& name) { return is_description(name) ? find_vm_file(name) : Status(); },
    .attach = attach_simulated,
    .policy = "vmi-qemu"};  // it needs less

}  // namespace furnace::hypervisor
