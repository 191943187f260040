// ELF core files of guest memory: what QEMU's dump-guest-memory writes, and our own (QEMU: dump/dump.c,
// target/i386/arch_dump.c).
#pragma once

#include "hypervisor/snapshot/layout.h"

namespace furnace::hypervisor {

[[nodiscard]] Result<SnapshotLayout> read_elf_core(const ImageFile& file);

/// The head of an ELF core file that holds `ranges` one after the other, and registers. Memory begins right
/// after it; its size is a multiple of a page.
[[nodiscard]] std::vector<std::byte> elf_core_head(const std::vector<guest::GpaRange>& ranges,
                                                   const std::vector<Registers>& vcpus);

}  // namespace furnace::hypervisor
