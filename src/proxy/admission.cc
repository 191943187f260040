#include "proxy/admission.h"

#include <netinet/in.h>

#include <algorithm>
#include <cstring>

namespace furnace::proxy {

Source source_of(const sockaddr_storage& address) {
  Source source{};
  if (address.ss_family == AF_INET) {
    const auto& inner = reinterpret_cast<const sockaddr_in&>(address);  // NOLINT: sockets
    std::memcpy(source.data(), &inner.sin_addr, sizeof inner.sin_addr);
  } else if (address.ss_family == AF_INET6) {
    const auto& inner = reinterpret_cast<const sockaddr_in6&>(address);  // NOLINT: sockets
    const bool is_ipv4 = IN6_IS_ADDR_V4MAPPED(&inner.sin6_addr);         // NOLINT: the C library's macro
    std::memcpy(source.data(), &inner.sin6_addr, is_ipv4 ? source.size() : source.size() / 2);
  }
  return source;
}

bool Admission::enter(const Source& source, const Limits& limits) {
  if (limits.connections != 0 && connections_ >= limits.connections) return false;
  const uint32_t most = limits.from_one_address();
  if (most != 0) {
    const auto found = sources_.find(source);
    if (found != sources_.end() && found->second >= most) return false;
  }
  ++connections_;
  ++sources_[source];
  return true;
}

void Admission::leave(const Source& source) {
  --connections_;
  const auto found = sources_.find(source);
  if (--found->second == 0) sources_.erase(found);
}

uint32_t share_of_descriptors(size_t routes, uint64_t descriptors) {
  constexpr uint64_t own = 128;          // of the process itself
  constexpr uint64_t of_route = 24;      // its listeners, and ZeroMQ's sockets of one that passes messages
  constexpr uint64_t of_connection = 6;  // two sockets, and a pipe each way
  constexpr uint64_t fewest = 4;         // a FAC partition has two, and two more while it connects anew
  const uint64_t count = std::max<uint64_t>(routes, 1);
  const uint64_t taken = own + count * of_route;
  const uint64_t left = descriptors > taken ? descriptors - taken : 0;
  return static_cast<uint32_t>(std::clamp<uint64_t>(left / count / of_connection, fewest, UINT32_MAX));
}

}  // namespace furnace::proxy
