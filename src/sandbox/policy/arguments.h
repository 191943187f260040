// Arguments of system calls as policies name them.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace furnace::policy {

/// Which argument of `call` is called `name` ("flags", or "arg0" to "arg5").
[[nodiscard]] std::optional<uint32_t> argument_named(std::string_view call, std::string_view name);

/// The argument that a bare number is compared with: the one that decides what the call does (the request of
/// an ioctl, the domain of a socket).
[[nodiscard]] std::optional<uint32_t> deciding_argument(std::string_view call);

/// Bits of the argument that the kernel reads: the others of an int are not seen by it.
[[nodiscard]] uint64_t bits_of_argument(std::string_view call, uint32_t argument);

/// "fd=3, cmd=F_GETFL" as far as the parameters are known, hexadecimal for what looks like an address.
[[nodiscard]] std::string describe_arguments(std::string_view call, const uint64_t (&arguments)[6],
                                             std::string_view path);

}  // namespace furnace::policy
