// All that the driver needs of a QEMU: opened where its process and sockets are seen.
#pragma once

#include <string>

#include "hypervisor/qemu/guard.h"
#include "hypervisor/qemu/guest_ram.h"
#include "hypervisor/qemu/process.h"
#include "hypervisor/qemu/qmp.h"
#include "hypervisor/qemu/setup.h"

namespace furnace::hypervisor {

struct QemuHandles {
  QemuProcess process;
  Fd pidfd;
  Guard guard;
  Qmp qmp;
  GuestRam ram;
  QemuSetup setup;

  /// Finds the QEMU whose -name is `name` and makes sure that it is what answers (docs/security.md); the
  /// guest doesn't notice.
  [[nodiscard]] static Result<QemuHandles> open(const std::string& name, RamAccess access);
};

}  // namespace furnace::hypervisor
