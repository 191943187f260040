#include "protocol/greeting.h"

#include <sys/socket.h>

#include <array>
#include <cerrno>

namespace furnace::protocol {

Greeting look_at_greeting(const Fd& socket) {
  // 0xff, eight bytes that mean nothing, 0x7f; an odd last byte marks the versions that we know.
  std::array<uint8_t, 10> signature{};
  const ssize_t got = ::recv(socket.get(), signature.data(), signature.size(), MSG_PEEK | MSG_DONTWAIT);
  if (got < 0) return errno == EAGAIN || errno == EINTR ? Greeting::Incomplete : Greeting::Bad;
  if (got == 0 || signature.front() != 0xff) return Greeting::Bad;
  if (static_cast<size_t>(got) < signature.size()) return Greeting::Incomplete;
  return (signature.back() & 1U) != 0 ? Greeting::Good : Greeting::Bad;
}

}  // namespace furnace::protocol
