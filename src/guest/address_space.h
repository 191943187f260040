// Reading and writing through a page table, with a bounded cache of translations.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <string>

#include "base/result.h"
#include "guest/memory.h"
#include "guest/paging.h"

namespace furnace::guest {

/// Remembers translations of 4K pages, of every page table of one guest; a fixed number of them, and no
/// faults.
///
/// A live guest changes its tables without telling, so an entry is good until `forget()`: the VMI partition
/// forgets before each message it serves while the guest runs, and keeps entries while the guest is stopped.
class TranslationCache {
 public:
  [[nodiscard]] WalkResult translate(const GuestMemory& memory, PageTable table, Gva gva);
  void forget() { ++generation_; }

 private:
  struct Entry {
    uint64_t generation = 0;
    PageTable table;
    uint64_t page = 0;
    Translation translation;
  };
  static constexpr size_t kEntries = 1024;
  std::array<Entry, kEntries> entries_{};
  uint64_t generation_ = 1;
};

/// One page table of one guest. Cheap to make and copy; memory and cache must outlive it.
class AddressSpace {
 public:
  AddressSpace(GuestMemory& memory, TranslationCache& cache, PageTable table)
      : memory_(&memory), cache_(&cache), table_(table) {}

  [[nodiscard]] WalkResult translate(Gva gva) const {
    return cache_->translate(*memory_, table_, canonical(gva, table_.levels));
  }

  /// Copies from `from` on into `out`. Returns the bytes copied: up to the first page that is missing.
  [[nodiscard]] size_t read(Gva from, std::span<std::byte> out) const;

  /// Copies `data` to `to` on, whatever the page's rights. Returns the bytes written.
  [[nodiscard]] size_t write(Gva to, std::span<const std::byte> data) const;

  /// A number at `from`; the error says why it can't be read.
  template <typename T>
  [[nodiscard]] Result<T> read(Gva from) const {
    static_assert(std::is_trivially_copyable_v<T>);
    T value;
    if (read(from, std::as_writable_bytes(std::span(&value, 1))) != sizeof(T))
      return tl::unexpected<Error>(why_unreadable(from, sizeof(T)));
    return value;
  }

  /// The bytes from `from` up to a NUL, at most `limit`; ends early where a page is missing, fails if the
  /// first is.
  [[nodiscard]] Result<std::string> read_string(Gva from, size_t limit) const;

  /// The error for a read of `size` bytes at `from` that came out short.
  [[nodiscard]] Error why_unreadable(Gva from, size_t size) const;

  [[nodiscard]] const PageTable& table() const { return table_; }
  [[nodiscard]] GuestMemory& memory() const { return *memory_; }

 private:
  GuestMemory* memory_;
  TranslationCache* cache_;
  PageTable table_;
};

}  // namespace furnace::guest
