// How a connection of ZeroMQ with CURVE begins, as far as it can be seen without a key (ZeroMQ RFC 37 and
// 26).
#pragma once

#include <cstddef>
#include <cstdint>

#include "base/fd.h"

namespace furnace::protocol {

/// What a server has said when it lets a client in: a greeting of 64 bytes and WELCOME, which it says to
/// everybody who knows its key, are followed by READY.
inline constexpr size_t kBeforeReady = 64 + 170;
/// The most that a client says before it is let in: a greeting, HELLO of 202 bytes, and INITIATE with some
/// properties.
inline constexpr size_t kMostBeforeReady = 16 << 10;

enum class Greeting : uint8_t { Incomplete, Good, Bad };

/// Checks what has come on a non-blocking socket, and leaves it there. Good: the signature that every
/// ZeroMQ peer says before it waits for ours.
[[nodiscard]] Greeting look_at_greeting(const Fd& socket);

}  // namespace furnace::protocol
