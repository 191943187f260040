// Guest memory in a vector, and page tables built in it entry by entry.
#pragma once

#include "guest/memory.h"
#include "guest/paging.h"

namespace furnace::guest::test {

class FlatMemory : public GuestMemory {
 public:
  explicit FlatMemory(size_t bytes) : bytes_(bytes), ranges_{{Gpa{0}, Gpa{bytes}}} {}
  using GuestMemory::read;
  [[nodiscard]] size_t read(Gpa from, std::span<std::byte> out) const override {
    if (from.value >= bytes_.size()) return 0;
    const size_t size = std::min<uint64_t>(out.size(), bytes_.size() - from.value);
    std::memcpy(out.data(), bytes_.data() + from.value, size);
    return size;
  }
  [[nodiscard]] size_t write(Gpa to, std::span<const std::byte> data) override {
    if (to.value >= bytes_.size()) return 0;
    const size_t size = std::min<uint64_t>(data.size(), bytes_.size() - to.value);
    std::memcpy(bytes_.data() + to.value, data.data(), size);
    return size;
  }
  [[nodiscard]] const std::vector<GpaRange>& ranges() const override { return ranges_; }

  template <typename T>
  void put(uint64_t to, const T& value) {
    (void)write(Gpa{to}, std::as_bytes(std::span(&value, 1)));
  }
  std::span<std::byte> bytes() { return bytes_; }

 private:
  std::vector<std::byte> bytes_;
  std::vector<GpaRange> ranges_;
};

inline constexpr uint64_t kPresent = 1, kWrite = 2, kUser = 4, kLarge = 0x80, kGlobal = 0x100,
                          kNx = 1ULL << 63;

/// Maps `gva` by a chain of tables at root, root+4K, ... down to `leaf_level`, whose entry is `leaf`.
inline void map(FlatMemory& memory, uint64_t root, int levels, Gva gva, int leaf_level, uint64_t leaf) {
  uint64_t table = root;
  for (int level = levels; level >= leaf_level; --level) {
    const uint64_t slot = table + ((gva.value >> (12 + 9 * (level - 1))) & 0x1ff) * 8;
    memory.put(slot, level == leaf_level ? leaf : (table + 0x1000) | kPresent | kWrite | kUser);
    table += 0x1000;
  }
}

}  // namespace furnace::guest::test
