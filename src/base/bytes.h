// Reading numbers and text out of byte spans without alignment or aliasing trouble.
#pragma once

#include <cstddef>
#include <cstring>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>

#include "base/printable.h"  // IWYU pragma: export

namespace furnace {

/// A T at `offset` of `bytes` (host order: x86 guests and hosts are little-endian), if it is inside.
template <typename T>
[[nodiscard]] std::optional<T> load(std::span<const std::byte> bytes, size_t offset) {
  static_assert(std::is_trivially_copyable_v<T>);
  if (offset > bytes.size() || bytes.size() - offset < sizeof(T)) return std::nullopt;
  T value;
  std::memcpy(&value, bytes.data() + offset, sizeof(T));
  return value;
}

[[nodiscard]] inline std::string_view as_text(std::span<const std::byte> bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

[[nodiscard]] inline std::span<const std::byte> as_bytes(std::string_view text) {
  return {reinterpret_cast<const std::byte*>(text.data()), text.size()};
}

/// The bytes before the first NUL.
[[nodiscard]] inline std::string_view until_nul(std::string_view text) {
  return text.substr(0, text.find('\0'));
}

/// Length of the valid UTF-8 sequence at the start of `text`, 0 if there is none (Unicode 15, table 3-7).
[[nodiscard]] size_t utf8_sequence(std::string_view text);

/// The same text with every byte that is not part of valid UTF-8 replaced by U+FFFD.
[[nodiscard]] std::string valid_utf8(std::string_view text);

/// base64 (RFC 4648): the text for bytes, and the bytes of a text up to the first character that is not of
/// it.
[[nodiscard]] std::string to_base64(std::span<const std::byte> bytes);
[[nodiscard]] std::string from_base64(std::string_view text);

}  // namespace furnace
