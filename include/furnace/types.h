// What the C++ APIs of apps and backends share: errors as values, typed guest addresses.
#pragma once

#include <compare>
#include <cstdint>
#include <string>
#include <tl/expected.hpp>
#include <utility>

namespace furnace::tenant {

/// The version of the binary interface. Furnace refuses an app or backend that was compiled with another one.
inline constexpr uint32_t kAbiVersion = 4;

/// Kinds of errors. The numbers never change.
enum class ErrorCode : uint32_t {
  Failed = 1,       ///< none of the others
  Invalid = 2,      ///< an argument is malformed or out of range: don't repeat the call
  NotFound = 3,     ///< the VM has no such symbol, type, member or process
  NotMapped = 4,    ///< nothing backs the address; the page may be swapped out or not loaded yet
  Unavailable = 5,  ///< no answer, or not now: repeat the call later
  Denied = 6,       ///< the operator doesn't permit it
  Busy = 7,         ///< a limit is reached: clear an event or wait for an answer, then repeat the call
  Gone = 8,         ///< the VM or its partition has ended for good
};

/// An error: its kind for programs, and a text for people that says what failed, where and why. Example:
/// "read_va(vaddr=0x10, pid=1, count=8): virtual address 0x10 is not mapped". The wording may change; don't
/// parse it.
struct Error {
  std::string message;
  ErrorCode code = ErrorCode::Failed;
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
