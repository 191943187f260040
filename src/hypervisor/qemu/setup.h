// What QEMU says of a VM when it is asked first.
#pragma once

#include "hypervisor/qemu/qmp.h"

namespace furnace::hypervisor {

struct QemuSetup {
  uint32_t vcpus = 1;
  bool running = true;
  bool tcg = true;
  bool loses_flags = false;  ///< see below
};
[[nodiscard]] Result<QemuSetup> ask_for_setup(Qmp& qmp);

inline constexpr size_t kMostVcpus = 4096;
/// How many vCPUs are plugged in: 1 to kMostVcpus.
[[nodiscard]] Result<uint32_t> count_vcpus(Qmp& qmp);

/// Whether the CPU that this QEMU emulates has cmpxchg16b, and a vCPU that is stopped right after one resumes
/// with wrong flags: before 8.0 (target/i386/tcg/translate.c: the helper's flags were made of a stale
/// state).
[[nodiscard]] Result<bool> loses_flags(Qmp& qmp);

}  // namespace furnace::hypervisor
