// Who may connect: how many at once, and how many of them from one address.
#pragma once

#include <sys/socket.h>

#include <array>
#include <cstdint>
#include <map>

namespace furnace::protocol {

/// Where a connection comes from: an IPv4 address, or the network part of an IPv6 one (64 bits), all of whose
/// addresses are one peer's.
using Source = std::array<uint8_t, 16>;
[[nodiscard]] Source source_of(const sockaddr_storage& address);

class Admission {
 public:
  /// 0: no limit.
  struct Limits {
    uint32_t all = 0, of_one_source = 0;
  };

  /// Counts one more connection from there; returns false, and counts nothing, if that would be too many.
  [[nodiscard]] bool enter(const Source& source, const Limits& limits);
  /// One that has entered disconnected.
  void leave(const Source& source);

 private:
  uint32_t connections_ = 0;
  std::map<Source, uint32_t> sources_;
};

}  // namespace furnace::protocol
