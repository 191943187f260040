#include "hypervisor/xen/driver.h"

#include "hypervisor/xen/broker.h"
#include "hypervisor/xen/brokered.h"
#include "hypervisor/xen/xen.h"

namespace furnace::hypervisor {
namespace {

Status find_xen_domain(const std::string& name) {
  FURNACE_TRY(const XenControl control, open_control());
  FURNACE_TRY(const XenStore store, open_store());
  const auto found = find_domain(*control, store.get(), name);
  return found ? Status() : Status(fail(found.error(), fmt::format("VM '{}' does not exist", name)));
}

}  // namespace

const Driver kXenDriver{.name = "xen",
                        .summary = kXenSummary,
                        .claims = [](const std::string&) { return is_dom0(); },
                        .find = find_xen_domain,
                        .attach = [](const std::string& name, RamAccess,
                                     Fd) -> Result<std::unique_ptr<Hypervisor>> { return Xen::open(name); },
                        .lend = lend_xen,
                        .borrow = BrokeredXen::borrow,
                        .policy = "vmi-xen"};

}  // namespace furnace::hypervisor
