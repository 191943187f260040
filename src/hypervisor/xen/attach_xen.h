// The way to the Xen driver without Xen's headers.
#pragma once

#include <memory>
#include <string>

#include "hypervisor/hypervisor.h"

namespace furnace::hypervisor {

/// `name`: of a domain, its number or its UUID.
[[nodiscard]] Result<std::unique_ptr<Hypervisor>> attach_xen(const std::string& name);

/// What `lend_xen` (broker.h) has lent to this process.
[[nodiscard]] Result<std::unique_ptr<Hypervisor>> borrow_xen(const std::string& text);

/// Errc::NotFound lists the domains there are.
[[nodiscard]] Status find_xen_domain(const std::string& name);

/// What a Xen host can, asked from its dom0.
struct XenHost {
  std::string version;         ///< "4.17.7"
  std::string vendor;          ///< of the CPU, as CPUID says it
  bool hvm = false;            ///< HVM and PVH guests
  bool nested_paging = false;  ///< hardware assisted paging, which events need
  bool memory_access = false;  ///< EPT, which events of memory need
  bool views = false;          ///< altp2m: accesses are told of guests with several vCPUs as of others
};
/// Errc::Unavailable where there is none, or this build has no driver for it.
[[nodiscard]] Result<XenHost> look_at_xen_host();
/// Linux says so in the domain that controls the others (drivers/xen/xenfs/super.c).
[[nodiscard]] bool is_dom0();

}  // namespace furnace::hypervisor
