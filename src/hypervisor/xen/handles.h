// Connections to Xen, closed when they go: control (libxenctrl), memory of domains (libxenforeignmemory), the
// store of names (libxenstore).
#pragma once

#include <memory>

#include "base/result.h"
#include "hypervisor/xen/api.h"

namespace furnace::hypervisor {

struct CloseXen {
  void operator()(xc_interface* control) const { ::xc_interface_close(control); }
  void operator()(xenforeignmemory_handle* memory) const { ::xenforeignmemory_close(memory); }
  void operator()(xs_handle* store) const { ::xs_close(store); }
};
using XenControl = std::unique_ptr<xc_interface, CloseXen>;
using XenForeignMemory = std::unique_ptr<xenforeignmemory_handle, CloseXen>;
using XenStore = std::unique_ptr<xs_handle, CloseXen>;

/// The libraries print nothing on their own. Errc::Denied or Errc::Unavailable say what is missing.
[[nodiscard]] Result<XenControl> open_control();
[[nodiscard]] Result<XenForeignMemory> open_foreign_memory();
[[nodiscard]] Result<XenStore> open_store();

}  // namespace furnace::hypervisor
