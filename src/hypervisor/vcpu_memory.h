// Memory as a vCPU sees it.
#pragma once

#include "guest/paging.h"
#include "hypervisor/registers.h"

namespace furnace::hypervisor {

/// Reads what a vCPU sees, through the page tables it uses.
class VcpuMemory {
 public:
  explicit VcpuMemory(guest::GuestMemory& memory) : memory_(memory) {}
  /// Bytes read from `address` on: up to the first page that is missing.
  [[nodiscard]] size_t read(const Registers& registers, uint64_t address, std::span<std::byte> out) const {
    return read(table_of(registers), address, out);
  }
  [[nodiscard]] size_t read(guest::PageTable table, uint64_t address, std::span<std::byte> out) const;
  /// The table that maps the kernel for it, too.
  [[nodiscard]] guest::PageTable table_of(const Registers& registers) const;

 private:
  guest::GuestMemory& memory_;
};

}  // namespace furnace::hypervisor
