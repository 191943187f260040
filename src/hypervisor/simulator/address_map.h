// Where things lie in a simulated guest, and the page tables that say so.
#pragma once

#include <map>
#include <vector>

#include "guest/paging.h"
#include "hypervisor/simulator/memory.h"

namespace furnace::hypervisor {

class AddressMap {
 public:
  /// `text` and `direct_map` are where the kernel's image and all of RAM appear.
  AddressMap(SimulatedMemory& memory, int levels, guest::Gva text, guest::Gva direct_map);

  static constexpr guest::Gpa kImage{0x100'0000};  ///< physical home of the kernel image
  static constexpr uint64_t kImageSize = 4 << 20;
  static constexpr uint64_t kRootOffset = 0x3f'0000;  ///< of the kernel's own root table in the image

  /// Zeroed memory, aligned to 64 bytes (to a page, if it is as large); nullopt when RAM is full.
  [[nodiscard]] std::optional<guest::Gpa> allocate(uint64_t bytes);
  void free(guest::Gpa at, uint64_t bytes);

  /// A root table that maps the kernel, for a process; nullopt when RAM is full.
  [[nodiscard]] std::optional<guest::Gpa> new_root();
  /// Maps one page: `leaf_level` 1 is 4 KB, 2 is 2 MB. False when RAM is full.
  bool map(guest::Gpa root, guest::Gva gva, guest::Gpa gpa, int leaf_level, bool user);

  [[nodiscard]] guest::Gva direct(guest::Gpa gpa) const { return direct_map_ + gpa.value; }
  [[nodiscard]] guest::Gpa physical(guest::Gva gva) const;
  [[nodiscard]] guest::Gva text() const { return text_; }
  [[nodiscard]] guest::PageTable kernel_table() const { return {kImage + kRootOffset, levels_}; }
  [[nodiscard]] SimulatedMemory& memory() { return memory_; }

 private:
  bool map_kernel(guest::Gpa root);

  SimulatedMemory& memory_;
  int levels_;
  guest::Gva text_, direct_map_;
  uint64_t next_ = 0x20'0000;
  std::map<uint64_t, std::vector<guest::Gpa>> free_;
};

}  // namespace furnace::hypervisor
