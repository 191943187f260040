// Connections to Xen, closed when they go: control (libxenctrl), the store of names (libxenstore).
#pragma once

#include <memory>

#include "base/result.h"
#include "hypervisor/xen/api.h"

namespace furnace::hypervisor {

struct CloseXen {
  void operator()(xc_interface* control) const { ::xc_interface_close(control); }
  void operator()(xs_handle* store) const { ::xs_close(store); }
};
using XenControl = std::unique_ptr<xc_interface, CloseXen>;
using XenStore = std::unique_ptr<xs_handle, CloseXen>;

/// The libraries print nothing on their own. Errc::Denied or Errc::Unavailable say what is missing.
[[nodiscard]] Result<XenControl> open_control();
[[nodiscard]] Result<XenStore> open_store();

}  // namespace furnace::hypervisor
