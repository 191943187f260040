// All that the driver needs of a QEMU: opened where its process and sockets are seen, and handed to a VMI
// partition that sees neither.
#pragma once

#include <string>
#include <vector>

#include "hypervisor/qemu/guard.h"
#include "hypervisor/qemu/guest_ram.h"
#include "hypervisor/qemu/process.h"
#include "hypervisor/qemu/qmp.h"

namespace furnace::hypervisor {

struct QemuHandles {
  /// What QEMU says of the VM when it is asked first.
  struct Setup {
    uint32_t vcpus = 1;
    bool running = true;
    bool tcg = true;
    bool loses_flags = false;  ///< see below
  };
  QemuProcess process;
  Fd pidfd;
  Guard guard;
  Qmp qmp;
  GuestRam ram;
  Setup setup;

  /// Finds the QEMU whose -name is `name`; the guest doesn't notice.
  [[nodiscard]] static Result<QemuHandles> open(const std::string& name);

  /// A text that names all descriptors by their numbers, for a process that inherits them.
  struct Lent {
    std::string text;
    std::vector<Fd> descriptors;
  };
  [[nodiscard]] static Lent lend(QemuHandles handles);
  [[nodiscard]] static Result<QemuHandles> borrow(const std::string& text);
};

/// Whether the CPU that this QEMU emulates has cmpxchg16b, and a vCPU that is stopped right behind one goes
/// on with wrong flags: before 8.0 (target/i386/tcg/translate.c: the helper's flags were made of a stale
/// state).
[[nodiscard]] Result<bool> loses_flags(Qmp& qmp);

}  // namespace furnace::hypervisor
