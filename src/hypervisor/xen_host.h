// What a Xen host can, for processes that need not have the driver.
#pragma once

#include <string>

#include "base/result.h"

namespace furnace::hypervisor {

inline constexpr const char* kXenSummary = "a domain, on a Xen host";

/// What a Xen host can, asked from its dom0.
struct XenHost {
  std::string version;         ///< "4.17.7"
  std::string vendor;          ///< of the CPU, as CPUID says it
  bool hvm = false;            ///< HVM and PVH guests
  bool nested_paging = false;  ///< hardware assisted paging, which events need
  bool memory_access = false;  ///< EPT, which events of memory need
  bool views = false;  ///< altp2m: accesses of guests with several vCPUs are reported as those of others
};
/// Errc::Unavailable where there is none, or this build has no driver for it.
[[nodiscard]] Result<XenHost> look_at_xen_host();
/// Linux says so in the domain that controls the others (drivers/xen/xenfs/super.c).
[[nodiscard]] bool is_dom0();

}  // namespace furnace::hypervisor
