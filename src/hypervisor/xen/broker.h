// The process outside of a confined VMI partition that holds Xen's control for it: control of one domain is
// control of all, and of the host. The partition maps the domain's memory by itself, through a device that
// can do nothing else, and asks for the rest (broker/messages.h).
#pragma once

#include <string>

#include "hypervisor/driver.h"

namespace furnace::hypervisor {

/// Attaches to the domain in a process of its own, which releases the domain when the partition exits, for
/// any reason. It has all of Xen's control, which no policy can divide: `options.confine` is not called.
[[nodiscard]] Result<Lent> lend_xen(const std::string& name, const LendOptions& options);

}  // namespace furnace::hypervisor
