#include "protocol/admission.h"

#include <netinet/in.h>

#include <cstring>

namespace furnace::protocol {

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
  if (limits.all != 0 && connections_ >= limits.all) return false;
  const auto found = sources_.find(source);
  if (limits.of_one_source != 0 && found != sources_.end() && found->second >= limits.of_one_source)
    return false;
  ++connections_;
  ++sources_[source];
  return true;
}

void Admission::leave(const Source& source) {
  --connections_;
  const auto found = sources_.find(source);
  if (--found->second == 0) sources_.erase(found);
}

}  // namespace furnace::protocol
