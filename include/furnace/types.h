// What the C++ APIs of apps and backends share: errors as values, typed guest addresses.
#pragma once

#include <compare>
#include <cstdint>
#include <string>
#include <tl/expected.hpp>
#include <utility>

namespace furnace::tenant {

/// The version of the binary interface. Furnace refuses an app or backend that was compiled with another one.
inline constexpr uint32_t kAbiVersion = 3;

/// An error, as text for people: what failed, where and why. Example: "read_va(vaddr=0x10, pid=1, count=8):
/// virtual address 0x10 is not mapped". The wording may change; don't parse it.
struct Error {
  std::string message;
};
template <typename T>
using Result = tl::expected<T, Error>;
using Status = Result<void>;

/// A virtual address of the guest, in the kernel's or in a process's address space.
struct Gva {
  uint64_t value = 0;
  auto operator<=>(const Gva&) const = default;
  [[nodiscard]] Gva operator+(uint64_t bytes) const { return {value + bytes}; }
  [[nodiscard]] Gva operator-(uint64_t bytes) const { return {value - bytes}; }
  [[nodiscard]] explicit operator bool() const { return value != 0; }
};
/// A physical address of the guest.
struct Gpa {
  uint64_t value = 0;
  auto operator<=>(const Gpa&) const = default;
  [[nodiscard]] Gpa operator+(uint64_t bytes) const { return {value + bytes}; }
};

/// A process of the guest by its pid. Kernel selects the kernel's address space.
enum class Pid : int32_t { Kernel = 0 };

}  // namespace furnace::tenant
