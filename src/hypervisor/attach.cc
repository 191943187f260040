#include "hypervisor/attach.h"

#include <fmt/ranges.h>

#include <algorithm>
#include <filesystem>

#include "base/file.h"
#include "hypervisor/libvmi/attach_libvmi.h"
#include "hypervisor/qemu/process.h"
#include "hypervisor/qemu/qemu.h"
#include "hypervisor/simulator/simulator.h"
#include "hypervisor/snapshot/snapshot.h"
#include "hypervisor/xen/attach_xen.h"
#include "hypervisor/xen/broker.h"

namespace furnace::hypervisor {
namespace {

Status find_qemu(const std::string& name) {
  std::vector<std::string> names;
  for (const QemuProcess& process : list_qemu_processes())
    if (!process.name.empty()) names.push_back(process.name);
  if (std::find(names.begin(), names.end(), name) != names.end()) return {};
  if (const auto found = find_qemu_process(name); !found && found.error().code() == Errc::Denied)
    return tl::unexpected<Error>(found.error());
  return fail(Errc::NotFound, "VM '{}' does not exist ({}{})", name,
              names.empty() ? "no VM runs here" : "running here: ", fmt::join(names, ", "));
}

Status find_description(const std::string& file) {
  std::error_code ignored;
  if (std::filesystem::is_regular_file(file, ignored)) return {};
  return fail(Errc::NotFound, "VM '{}' does not exist: there is no such file", file);
}

}  // namespace

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
Result<LentXen> lend_xen(const std::string& name, broker::Borrower) {
  return fail(Errc::Unavailable, "domain '{}': this build has no Xen driver (it needs libxen-dev)", name);
}
Status find_xen_domain(const std::string& name) {
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

Status find_vm(const std::string& name, const std::string& driver) {
  const std::string chosen = driver_for(name, driver);
  if (chosen == "qemu") return find_qemu(name);
  if (chosen == "xen") return find_xen_domain(name);
  const bool file = chosen == "snapshot" || (chosen == "simulator" && name.ends_with(".toml"));
  return file ? find_description(name) : Status();
}

Result<std::unique_ptr<Hypervisor>> attach(const std::string& name, const std::string& driver,
                                           RamAccess access, Fd scratch) {
  const std::string chosen = driver_for(name, driver);
  if (chosen == "qemu") return Qemu::attach(name, access);
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
