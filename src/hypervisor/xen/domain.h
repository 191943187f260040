// Domains of a Xen host: found by name, number or UUID.
#pragma once

#include <cstdint>
#include <string>

#include "hypervisor/xen/handles.h"

namespace furnace::hypervisor {

struct Domain {
  uint32_t id = 0;
  std::string name;  ///< of the store; the UUID where it has none
  bool pv = false;   ///< its page tables hold machine frames, and it has no events
  uint32_t vcpus = 1;
  uint64_t most_pages = 0;  ///< that it may have
  bool paused = false;      ///< by the toolstack
};

/// Errc::NotFound lists the domains there are. Dom0 is refused: a pause would stop ourselves.
[[nodiscard]] Result<Domain> find_domain(xc_interface& control, xs_handle* store, const std::string& wanted);

/// Its state now; Errc::NotFound when it is destroyed, dying or shut down.
[[nodiscard]] Result<Domain> look_at_domain(xc_interface& control, uint32_t id);

}  // namespace furnace::hypervisor
