#include "guest/paging.h"

#include <fmt/format.h>

#include <array>
#include <span>

namespace furnace::guest {
namespace {

constexpr uint64_t kPresent = 1ULL << 0;
constexpr uint64_t kWritable = 1ULL << 1;
constexpr uint64_t kUser = 1ULL << 2;
constexpr uint64_t kPageSizeFlag = 1ULL << 7;
constexpr uint64_t kNoExecute = 1ULL << 63;
constexpr uint64_t kAddress = 0x000f'ffff'ffff'f000ULL;  // bits 51:12
// Linux marks PROT_NONE pages non-present with the global bit set (arch/x86/include/asm/pgtable_types.h,
// _PAGE_BIT_PROTNONE), and inverts the frame number of every such entry against L1TF (pgtable-invert.h).
constexpr uint64_t kLinuxProtNone = 1ULL << 8;

constexpr int address_bits(int levels) {
  return 12 + 9 * levels;
}

bool is_canonical(Gva gva, int levels) {
  const int shift = 64 - address_bits(levels);
  return static_cast<uint64_t>(static_cast<int64_t>(gva.value << shift) >> shift) == gva.value;
}

Translation leaf(const GuestMemory& memory, uint64_t entry, uint64_t rights, Gva gva, int level) {
  const uint64_t size = 1ULL << (12 + 9 * (level - 1));
  const bool present = (entry & kPresent) != 0;
  const Gpa start{(present ? entry : ~entry) & kAddress & ~(size - 1)};
  const Gpa frame = present ? memory.from_table(start) : start;
  return {
      .gpa = {frame.value | (gva.value & (size - 1))},
      .page_size = size,
      .writable = (rights & kWritable) != 0,
      .user = (rights & kUser) != 0,
      .executable = (rights & kNoExecute) != 0,
      .prot_none = !present,
  };
}

}  // namespace

Gva canonical(Gva gva, int levels) {
  const int bits = address_bits(levels);
  const bool top_set = ((gva.value >> (bits - 1)) & 1U) != 0;
  const uint64_t upper = gva.value >> bits;
  const bool cut_off = (upper & (upper + 1)) == 0;  // 0...01...1: the extension, cut at some width
  return top_set && cut_off ? Gva{gva.value | (~0ULL << bits)} : gva;
}

WalkResult walk(const GuestMemory& memory, PageTable table, Gva gva) {
  const auto fault = [&](FaultKind kind, int level, uint64_t entry) {
    return tl::unexpected<PageFault>(PageFault{kind, gva, level, entry});
  };
  if (!is_canonical(gva, table.levels)) return fault(FaultKind::NonCanonical, table.levels, 0);

  Gpa base{table.root.value & kAddress};
  // Rights add up along the way: every level must grant writing and user access, none may deny execution.
  uint64_t rights = kWritable | kUser | kNoExecute;
  for (int level = table.levels; level >= 1; --level) {
    const uint64_t index = (gva.value >> (12 + 9 * (level - 1))) & 0x1ff;
    const auto entry = memory.read<uint64_t>(base + index * 8);
    if (!entry) return fault(FaultKind::TableOutsideRam, level, base.value);
    const bool can_be_leaf = level == 1 || (level <= 3 && (*entry & kPageSizeFlag) != 0);
    rights &= *entry ^ kNoExecute;  // the bit in `rights` means "may execute"
    if ((*entry & kPresent) == 0) {
      if (*entry == 0) return fault(FaultKind::NotPresent, level, 0);
      if (can_be_leaf && (*entry & kLinuxProtNone) != 0) return leaf(memory, *entry, rights, gva, level);
      return fault(FaultKind::SwappedOut, level, *entry);
    }
    if (can_be_leaf) return leaf(memory, *entry, rights, gva, level);
    base = memory.from_table({*entry & kAddress});
  }
  return fault(FaultKind::NotPresent, 1, 0);
}

Gpa kernel_root(const GuestMemory& memory, uint64_t cr3) {
  constexpr uint64_t user_bit = 1 << 12;
  const Gpa root = root_of(cr3);
  if ((root.value & user_bit) == 0) return root;
  // Both roots of a process under PTI have the same user half (arch/x86/mm/pti.c, __pti_set_user_pgtbl).
  constexpr size_t user_entries = 256;
  const Gpa before{root.value ^ user_bit};
  std::array<uint64_t, user_entries> own{}, other{};
  const auto bytes = [](auto& entries) { return std::as_writable_bytes(std::span(entries)); };
  if (memory.read(root, bytes(own)) != sizeof own || memory.read(before, bytes(other)) != sizeof other)
    return root;
  bool any = false;
  for (size_t i = 0; i < user_entries; ++i) {
    if (((own.at(i) ^ other.at(i)) & (kAddress | kPresent)) != 0) return root;
    any = any || (own.at(i) & kPresent) != 0;
  }
  return any ? before : root;
}

std::string explain(const PageFault& fault) {
  const uint64_t gva = fault.gva.value;
  switch (fault.kind) {
    case FaultKind::NonCanonical:
      return fmt::format("virtual address {:#x} is not canonical with {}-level paging", gva, fault.level);
    case FaultKind::NotPresent:
      return fmt::format("virtual address {:#x} is not mapped (level {} entry is empty)", gva, fault.level);
    case FaultKind::SwappedOut:
      return fmt::format("virtual address {:#x} is not in memory (swap or migration entry {:#x})", gva,
                         fault.entry);
    case FaultKind::TableOutsideRam:
      break;
  }
  return fmt::format("virtual address {:#x}: its level {} page table at {:#x} is outside the guest's RAM",
                     gva, fault.level, fault.entry);
}

}  // namespace furnace::guest
