#include "hypervisor/qemu/driver.h"

#include <fmt/ranges.h>

#include <algorithm>

#include "hypervisor/qemu/broker.h"
#include "hypervisor/qemu/brokered.h"
#include "hypervisor/qemu/process.h"
#include "hypervisor/qemu/qemu.h"
#include "hypervisor/qemu/visit.h"

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

/// Beside a partition that has the VM, QEMU's other sockets are left to others.
Result<Lent> lend_or_visit(const std::string& name, const LendOptions& options) {
  if (options.borrower == broker::Borrower::Reader)
    if (auto lent = lend_visit(name, options.confine)) return lent;
  return lend_qemu(name, options);
}

}  // namespace

const Driver kQemuDriver{
    .name = "qemu",
    .summary = "a QEMU of this host, by its -name",
    .claims = [](const std::string&) { return true; },
    .find = find_qemu,
    .attach = [](const std::string& name, RamAccess access, Fd) { return Qemu::attach(name, access); },
    .lend = lend_or_visit,
    .borrow = borrow_qemu,
    .policy = "vmi-qemu"};

}  // namespace furnace::hypervisor
