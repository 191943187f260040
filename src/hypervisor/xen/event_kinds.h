// Which kinds of events Xen has of a guest, as far as CPU and domain allow.
#pragma once

#include "hypervisor/events.h"

namespace furnace::hypervisor {

[[nodiscard]] constexpr bool xen_offers(EventKind kind) {
  return kind == EventKind::Cr3Write || kind == EventKind::Breakpoint || kind == EventKind::MemoryAccess ||
         kind == EventKind::GuestRequest;
}

}  // namespace furnace::hypervisor
