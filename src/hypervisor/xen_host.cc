#include "hypervisor/xen_host.h"

#include "base/file.h"

namespace furnace::hypervisor {

bool is_dom0() {
  const auto capabilities = read_file("/proc/xen/capabilities", 4096);
  return capabilities && capabilities->find("control_d") != std::string::npos;
}

#ifndef FURNACE_XEN
Result<XenHost> look_at_xen_host() {
  return fail(Errc::Unavailable, "this build has no driver 'xen': it needs libxen-dev");
}
#endif

}  // namespace furnace::hypervisor
