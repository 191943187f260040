// connect(2) on a socket that another process holds as well.
#pragma once

#include <chrono>
#include <cstddef>
#include <span>

namespace furnace::policy {

/// Connects a socket that is not to wait. Its other holder can switch O_NONBLOCK off at any time, and set its
/// time limits: connect returns nevertheless, at the latest after `patience`. Returns 0 or a negative errno;
/// -EOPNOTSUPP for a socket that waits. The calling process must have one thread, and no use for SIGALRM.
[[nodiscard]] int connect_at_once(int socket, std::span<const std::byte> address,
                                  std::chrono::milliseconds patience = std::chrono::milliseconds(200));

}  // namespace furnace::policy
