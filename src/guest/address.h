// Typed guest addresses: a guest-virtual address can't be mixed with a guest-physical one or used on the
// host.
#pragma once

#include <compare>
#include <cstdint>

namespace furnace::guest {

/// Guest virtual address.
struct Gva {
  uint64_t value = 0;
  auto operator<=>(const Gva&) const = default;
  [[nodiscard]] Gva operator+(uint64_t bytes) const { return {value + bytes}; }
  [[nodiscard]] Gva operator-(uint64_t bytes) const { return {value - bytes}; }
};

/// Guest physical address.
struct Gpa {
  uint64_t value = 0;
  auto operator<=>(const Gpa&) const = default;
  [[nodiscard]] Gpa operator+(uint64_t bytes) const { return {value + bytes}; }
  [[nodiscard]] Gpa operator-(uint64_t bytes) const { return {value - bytes}; }
};

/// Process id in the guest; 0 means the kernel's address space.
enum class Pid : int32_t { Kernel = 0 };

[[nodiscard]] inline int32_t number(Pid pid) {
  return static_cast<int32_t>(pid);
}

inline constexpr uint64_t kPageSize = 4096;

}  // namespace furnace::guest
