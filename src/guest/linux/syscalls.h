// System calls of x86-64 Linux by number: their names, and what their arguments are called.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace furnace::guest {

/// "openat"; "syscall_1234" for numbers that have no name.
[[nodiscard]] std::string syscall_name(uint32_t number);
/// The number of a system call by its name.
[[nodiscard]] std::optional<uint32_t> syscall_number(const std::string& name);

struct SyscallParameter {
  std::string_view name;  ///< as in the manual page
  bool is_path = false;   ///< a pointer to a path
  bool is_wide = false;   ///< it fills a register; of others the kernel sees the lower half
};
/// Parameters of those up to 462 (Linux 6.12), in order; nothing for others.
[[nodiscard]] std::optional<std::vector<SyscallParameter>> syscall_parameters(std::string_view name);

}  // namespace furnace::guest
