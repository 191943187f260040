// ZMTP 3.0 and 3.1 (RFC 23, RFC 37) with the NULL mechanism, as bytes: what a peer of ZeroMQ says and hears.
// No I/O.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "base/result.h"

namespace furnace::zmtp {

inline constexpr size_t kGreetingSize = 64;
/// What a server of ours says first.
[[nodiscard]] std::string greeting();
/// Checks as much of a peer's greeting as has come: a peer that speaks something else is known by the first
/// byte that differs.
[[nodiscard]] Status check_greeting(std::span<const std::byte> begun);

/// What comes before the content of a frame.
struct FrameHeader {
  bool more = false;     ///< another part of the same message follows
  bool command = false;  ///< for the protocol, not for who uses it
  uint64_t size = 0;     ///< of the content
  size_t length = 0;     ///< of the header itself
};
/// nullopt: it has not come whole.
[[nodiscard]] Result<std::optional<FrameHeader>> parse_header(std::span<const std::byte> bytes);
/// Appends the header of a part with `size` bytes of content.
void put_header(std::string& to, size_t size, bool more, bool command = false);

/// A command by its name; both point into the frame's content.
struct Command {
  std::string_view name;
  std::span<const std::byte> data;
};
[[nodiscard]] Result<Command> parse_command(std::span<const std::byte> content);

/// What a peer says of itself in READY. Other properties are ignored.
struct Ready {
  std::string socket_type;
  std::string identity;
};
inline constexpr size_t kMaxIdentity = 255;
[[nodiscard]] Result<Ready> parse_ready(std::span<const std::byte> data);

/// Whole frames.
[[nodiscard]] std::string ready_command(std::string_view socket_type);
/// `reason` is cut at 255 bytes.
[[nodiscard]] std::string error_command(std::string_view reason);
/// The answer to PING; nullopt if that was none.
[[nodiscard]] std::optional<std::string> pong_command(std::span<const std::byte> ping);

}  // namespace furnace::zmtp
