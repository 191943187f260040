#pragma once

#include "hypervisor/driver.h"
#include "hypervisor/xen_host.h"

namespace furnace::hypervisor {

#ifdef FURNACE_XEN
extern const Driver kXenDriver;
#else
inline constexpr Driver kXenDriver{
    .name = "xen", .summary = kXenSummary, .missing = "libxen-dev", .claims = [](const std::string&) {
      return is_dom0();
    }};
#endif

}  // namespace furnace::hypervisor
