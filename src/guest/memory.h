// Guest physical memory, of a live VM, a snapshot, or the simulator.
#pragma once

#include <cstddef>
#include <cstring>
#include <functional>
#include <optional>
#include <span>
#include <type_traits>
#include <vector>

#include "guest/address.h"

namespace furnace::guest {

/// [start, end) of guest physical memory.
struct GpaRange {
  Gpa start;
  Gpa end;
  [[nodiscard]] uint64_t size() const { return end.value - start.value; }
};

class GuestMemory {
 public:
  virtual ~GuestMemory() = default;

  /// Copies guest memory into `out`. Returns the bytes copied: fewer than asked where memory ends.
  [[nodiscard]] virtual size_t read(Gpa from, std::span<std::byte> out) const = 0;

  /// Copies `data` into guest memory. Returns the bytes written.
  [[nodiscard]] virtual size_t write(Gpa to, std::span<const std::byte> data) = 0;

  /// Whether `write` can do anything: not in a snapshot.
  [[nodiscard]] virtual bool writable() const { return true; }

  /// The ranges that RAM backs, ascending, without overlap.
  [[nodiscard]] virtual const std::vector<GpaRange>& ranges() const = 0;

  /// The ranges that may hold anything but zeros; a driver that knows of holes leaves them out, to be
  /// searched less.
  [[nodiscard]] virtual std::vector<GpaRange> used_ranges() const { return ranges(); }

  /// What comes next is read after this call: a driver that reads ahead drops what it has.
  virtual void forget_read() const {}

  /// The physical address that an entry of a page table means. They differ in PV guests of Xen, whose tables
  /// hold machine addresses.
  [[nodiscard]] virtual Gpa from_table(Gpa address) const { return address; }

  /// A number at a physical address.
  template <typename T>
  [[nodiscard]] std::optional<T> read(Gpa from) const {
    static_assert(std::is_trivially_copyable_v<T>);
    T value;
    if (read(from, std::as_writable_bytes(std::span(&value, 1))) != sizeof(T)) return std::nullopt;
    return value;
  }

  /// `size` bytes at `from`, fewer where memory ends. The caller bounds `size`.
  [[nodiscard]] std::vector<std::byte> read_block(Gpa from, size_t size) const {
    std::vector<std::byte> block(size);
    block.resize(read(from, block));
    return block;
  }

  /// Calls `found` for every place where `needle` is in `range`, in order, until it returns false.
  /// Works on private copies: the guest may write meanwhile.
  void search(GpaRange range, std::span<const std::byte> needle, const std::function<bool(Gpa)>& found) const;
};

}  // namespace furnace::guest
