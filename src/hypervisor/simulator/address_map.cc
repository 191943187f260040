#include "hypervisor/simulator/address_map.h"

#include <array>

namespace furnace::hypervisor {

using guest::Gpa;
using guest::Gva;
using guest::kPageSize;

namespace {

constexpr uint64_t kLargePage = 2 << 20;
constexpr uint64_t kPresent = 1, kWritable = 2, kUser = 4, kLarge = 0x80;

}  // namespace

AddressMap::AddressMap(SimulatedMemory& memory, int levels, Gva text, Gva direct_map)
    : memory_(memory), levels_(levels), text_(text), direct_map_(direct_map) {
  map_kernel(kernel_table().root);
}

std::optional<Gpa> AddressMap::allocate(uint64_t bytes) {
  const uint64_t alignment = bytes >= kPageSize ? kPageSize : 64;
  const uint64_t size = (bytes + alignment - 1) / alignment * alignment;
  if (auto& known = free_[size]; !known.empty()) {
    const Gpa at = known.back();
    known.pop_back();
    const std::vector<std::byte> zeros(size);
    (void)memory_.write(at, zeros);
    return at;
  }
  uint64_t at = (next_ + alignment - 1) / alignment * alignment;
  // The image is in the middle of the heap.
  if (at < kImage.value && at + size > kImage.value) at = kImage.value + kImageSize;
  if (at + size > memory_.ranges().front().end.value) return std::nullopt;
  next_ = at + size;
  return Gpa{at};
}

void AddressMap::free(Gpa at, uint64_t bytes) {
  const uint64_t alignment = bytes >= kPageSize ? kPageSize : 64;
  free_[(bytes + alignment - 1) / alignment * alignment].push_back(at);
}

Gpa AddressMap::physical(Gva gva) const {
  return gva >= text_ ? kImage + (gva.value - text_.value) : Gpa{gva.value - direct_map_.value};
}

bool AddressMap::map(Gpa root, Gva gva, Gpa gpa, int leaf_level, bool user) {
  const auto slot = [&](Gpa table, int level) {
    return table + ((gva.value >> (12 + 9 * (level - 1))) & 0x1ff) * 8;
  };
  Gpa table = root;
  for (int level = levels_; level > leaf_level; --level) {
    const Gpa entry = slot(table, level);
    uint64_t value = memory_.read<uint64_t>(entry).value_or(0);
    if (value == 0) {
      const auto fresh = allocate(kPageSize);
      if (!fresh) return false;
      memory_.put(entry, value = fresh->value | kPresent | kWritable | kUser);
    }
    table = {value & ~(kPageSize - 1)};
  }
  memory_.put(slot(table, leaf_level),
              gpa.value | kPresent | kWritable | (user ? kUser : 0) | (leaf_level == 2 ? kLarge : 0));
  return true;
}

bool AddressMap::map_kernel(Gpa root) {
  bool whole = true;
  for (uint64_t at = 0; at < memory_.ranges().front().end.value; at += kLargePage)
    whole = map(root, direct_map_ + at, Gpa{at}, 2, false) && whole;
  for (uint64_t at = 0; at < kImageSize; at += kLargePage)
    whole = map(root, text_ + at, kImage + at, 2, false) && whole;
  return whole;
}

std::optional<Gpa> AddressMap::new_root() {
  const auto root = allocate(kPageSize);
  if (!root) return std::nullopt;
  // As in Linux, processes share the tables under the kernel's half of the root.
  std::array<std::byte, kPageSize / 2> upper_half;
  (void)memory_.read(kernel_table().root + kPageSize / 2, upper_half);
  (void)memory_.write(*root + kPageSize / 2, upper_half);
  return root;
}

}  // namespace furnace::hypervisor
