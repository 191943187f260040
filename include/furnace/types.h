// What both C++ APIs of a tenant share: errors as values, typed guest addresses.
#pragma once

#include <compare>
#include <cstdint>
#include <string>
#include <tl/expected.hpp>
#include <utility>

namespace furnace::tenant {

/// Changes when a compiled app or backend must be built again.
inline constexpr uint32_t kAbiVersion = 3;

/// What failed, where and why, for people: "read_va(vaddr=0x10, pid=1, count=8): virtual address 0x10 is not
/// mapped".
struct Error {
  std::string message;
};
template <typename T>
using Result = tl::expected<T, Error>;
using Status = Result<void>;

/// Guest virtual and physical addresses, which can't be mixed up.
struct Gva {
  uint64_t value = 0;
  auto operator<=>(const Gva&) const = default;
  [[nodiscard]] Gva operator+(uint64_t bytes) const { return {value + bytes}; }
  [[nodiscard]] Gva operator-(uint64_t bytes) const { return {value - bytes}; }
  [[nodiscard]] explicit operator bool() const { return value != 0; }
};
struct Gpa {
  uint64_t value = 0;
  auto operator<=>(const Gpa&) const = default;
  [[nodiscard]] Gpa operator+(uint64_t bytes) const { return {value + bytes}; }
};

/// A process of the guest; Kernel is the kernel's address space.
enum class Pid : int32_t { Kernel = 0 };

}  // namespace furnace::tenant
