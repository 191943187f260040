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
  std::vector<RamPlace> places;
  GuestRam ram;
  QemuSetup setup;

  /// Finds the QEMU whose -name is `name` and makes sure that it is what answers (docs/security.md); the
  /// guest doesn't notice.
  [[nodiscard]] static Result<QemuHandles> open(const std::string& name, RamAccess access);
};

/// The QEMU of this name, held: while the descriptor is open and not readable, its number is its own.
struct ProvenProcess {
  QemuProcess process;
  Fd pidfd;
};
[[nodiscard]] Result<ProvenProcess> prove_process(const std::string& name);

}  // namespace furnace::hypervisor
