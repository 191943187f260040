#include "hypervisor/attach.h"

#include <filesystem>

#include "base/file.h"
#include "hypervisor/libvmi/attach_libvmi.h"
#include "hypervisor/qemu/qemu.h"
#include "hypervisor/simulator/simulator.h"
#include "hypervisor/snapshot/snapshot.h"
#include "hypervisor/xen/attach_xen.h"
#include "hypervisor/xen/broker.h"

namespace furnace::hypervisor {
bool is_dom0() {
  const auto capabilities = read_file("/proc/xen/capabilities", 4096);
  return capabilities && capabilities->find("control_d") != std::string::npos;
}

#ifndef FURNACE_XEN
Result<std::unique_ptr<Hypervisor>> attach_xen(const std::string& name) {
  return fail(Errc::Unavailable, "domain '{}': this build has no Xen driver (it needs libxen-dev)", name);
}
Result<std::unique_ptr<Hypervisor>> borrow_xen(const std::string&) {
  return fail(Errc::Unavailable, "this build has no Xen driver (it needs libxen-dev)");
}
Result<LentXen> lend_xen(const std::string& name) {
  return fail(Errc::Unavailable, "domain '{}': this build has no Xen driver (it needs libxen-dev)", name);
}
Result<XenHost> look_at_xen_host() {
  return fail(Errc::Unavailable, "this build has no Xen driver (it needs libxen-dev)");
}
#endif

#ifndef FURNACE_LIBVMI
Result<std::unique_ptr<Hypervisor>> attach_libvmi(const std::string& name) {
  return fail(Errc::Unavailable, "VM '{}': this build has no LibVMI driver (LibVMI was not there)", name);
}
#endif

std::string driver_for(const std::string& name, const std::string& driver) {
  if (driver != "auto") return driver;
  std::error_code ignored;
  const bool file = name.find('/') != std::string::npos || std::filesystem::is_regular_file(name, ignored);
  if (!file) return is_dom0() ? "xen" : "qemu";
  return name.ends_with(".toml") ? "simulator" : "snapshot";
}

Result<std::unique_ptr<Hypervisor>> attach(const std::string& name, const std::string& driver, Fd scratch) {
  const std::string chosen = driver_for(name, driver);
  if (chosen == "qemu") return Qemu::attach(name);
  if (chosen == "xen") return attach_xen(name);
  if (chosen == "libvmi") return attach_libvmi(name);
  if (chosen == "snapshot") return Snapshot::open(name, std::move(scratch));
  if (chosen == "simulator") {
    SimulatedGuest guest = default_guest();
    guest.name = name;
    if (name.ends_with(".toml")) {
      FURNACE_TRY(guest, load_guest(name));
    }
    FURNACE_TRY(auto simulator, Simulator::make(guest));
    return simulator;
  }
  return fail(Errc::Invalid, "no driver '{}'", driver);
}

}  // namespace furnace::hypervisor
