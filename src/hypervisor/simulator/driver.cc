#include "hypervisor/simulator/driver.h"

#include <filesystem>

#include "hypervisor/simulator/simulator.h"

namespace furnace::hypervisor {
namespace {

bool is_description(const std::string& name) {
  return name.ends_with(".toml");
}

bool claims_file(const std::string& name) {
  std::error_code ignored;
  const bool file = name.find('/') != std::string::npos || std::filesystem::is_regular_file(name, ignored);
  return file && is_description(name);
}

Status find_simulated(const std::string& name) {
  std::error_code ignored;
  if (!is_description(name) || std::filesystem::is_regular_file(name, ignored)) return {};
  return fail(Errc::NotFound, "VM '{}' does not exist: there is no such file", name);
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

const Driver kSimulatorDriver{.name = "simulator",
                              .summary = "a simulated guest, from a .toml file",
                              .claims = claims_file,
                              .find = find_simulated,
                              .attach = attach_simulated,
                              .policy = "vmi-qemu"};  // it needs less

}  // namespace furnace::hypervisor
