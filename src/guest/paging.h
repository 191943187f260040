// x86-64 page walks: 4 and 5 levels, 4K, 2M and 1G pages (Intel SDM volume 3, section 4.5).
#pragma once

#include <cstdint>
#include <string>
#include <tl/expected.hpp>

#include "guest/address.h"
#include "guest/memory.h"

namespace furnace::guest {

/// A root table and how many levels hang under it (4, or 5 with LA57).
struct PageTable {
  Gpa root;
  int levels = 4;
  auto operator<=>(const PageTable&) const = default;
};

/// Where a virtual address leads.
struct Translation {
  Gpa gpa;
  uint64_t page_size = kPageSize;
  bool writable = false;
  bool user = false;
  bool executable = false;
  /// Mapped by the kernel with no access for the process (mprotect PROT_NONE, NUMA hinting): the page is
  /// there.
  bool prot_none = false;
};

enum class FaultKind : uint8_t {
  NonCanonical,     ///< bits above the paging depth are not a sign extension
  NotPresent,       ///< an entry of zero: nothing was ever mapped
  SwappedOut,       ///< a non-present entry that holds a swap or migration entry
  TableOutsideRam,  ///< a table is where there is no RAM
};

/// Why a walk ended, cheap to pass around; `explain` makes the sentence.
struct PageFault {
  FaultKind kind = FaultKind::NotPresent;
  Gva gva;
  int level = 0;       ///< 5 to 1: the level of the entry that ended the walk
  uint64_t entry = 0;  ///< that entry
};
[[nodiscard]] std::string explain(const PageFault& fault);

using WalkResult = tl::expected<Translation, PageFault>;

[[nodiscard]] WalkResult walk(const GuestMemory& memory, PageTable table, Gva gva);

/// The address with its sign extension in place: an address whose top implemented bit is set and whose
/// extension above is missing, or cut off at some width, gets it (1.0 apps send kernel addresses so). Others
/// stay as they are.
[[nodiscard]] Gva canonical(Gva gva, int levels);

/// CR3 without PCID and flags (bits 11:0): the root in use.
[[nodiscard]] inline Gpa root_of(uint64_t cr3) {
  return {cr3 & 0x000f'ffff'ffff'f000ULL};
}

/// The root that maps the kernel while CR3 is in use. Under PTI, programs run with a root of their own in the
/// page after it (Linux: PTI_USER_PGTABLE_BIT, bit 12), which maps hardly more than the user half. Without
/// PTI, later kernels have roots in any page (pgd_allocation_order), so that the bit by itself decides
/// nothing.
[[nodiscard]] Gpa kernel_root(const GuestMemory& memory, uint64_t cr3);

}  // namespace furnace::guest
