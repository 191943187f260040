#include "hypervisor/vcpu_memory.h"

#include <algorithm>

namespace furnace::hypervisor {

guest::PageTable VcpuMemory::table_of(const Registers& registers) const {
  constexpr uint64_t cr4_la57 = 1 << 12;
  return {guest::kernel_root(memory_, registers.cr3()), (registers.cr4() & cr4_la57) != 0 ? 5 : 4};
}

size_t VcpuMemory::read(guest::PageTable table, uint64_t address, std::span<std::byte> out) const {
  size_t done = 0;
  while (done < out.size()) {
    const uint64_t at = address + done;
    const size_t piece = std::min<size_t>(out.size() - done, guest::kPageSize - at % guest::kPageSize);
    const auto page = guest::walk(memory_, table, guest::Gva{at});
    if (!page || memory_.read(page->gpa, out.subspan(done, piece)) != piece) break;
    done += piece;
  }
  return done;
}

}  // namespace furnace::hypervisor
