// What the proxy passes on: from where to where, in which way, how much.
#pragma once

#include <algorithm>
#include <chrono>
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace furnace::proxy {

/// Two ports in a row: messages, and broadcasts.
struct Endpoint {
  std::string host;
  uint16_t port = 0;
  auto operator<=>(const Endpoint&) const = default;
};
[[nodiscard]] std::string to_text(const Endpoint& endpoint);
/// HOST:PORT, an IPv6 address in brackets. The next port is used too.
[[nodiscard]] Result<Endpoint> parse_endpoint(std::string_view text);

/// Of one route; 0: none.
struct Limits {
  uint32_t connections = 64;           ///< at once
  uint32_t connections_per_address{};  ///< of these, of a blind route; 0: half of them, but four at least
  uint64_t bytes_per_second = 0;       ///< both ways together
  std::chrono::seconds idle{0};        ///< a connection on which nothing passes for so long is closed
  std::chrono::seconds handshake{10};  ///< as is one that the backend has not let in after so long

  /// 0: no limit.
  [[nodiscard]] uint32_t from_one_address() const {
    constexpr uint32_t fewest = 4;  // a FAC partition has two, and two more while it connects again
    if (connections_per_address != 0 || connections == 0) return connections_per_address;
    return std::max(fewest, connections / 2);
  }
  auto operator<=>(const Limits&) const = default;
};

/// Returns how many connections each of this number of routes may have out of this process's descriptors, so
/// that none takes those of another.
[[nodiscard]] uint32_t share_of_descriptors(size_t routes, uint64_t descriptors);

struct Route {
  std::string app;  ///< for log and metrics; may be empty if there is one route
  /// Passes connections on and holds no key; otherwise messages, with both.
  bool blind = false;
  Endpoint inside;                             ///< where FAC connects to
  Endpoint outside;                            ///< where the backend is
  std::filesystem::path app_key, backend_key;  ///< secret ones, of a route that isn't blind
  Limits limits;

  /// Whether only the limits differ.
  [[nodiscard]] bool leads_as(const Route& other) const;
};

/// A file of [[route]] tables (docs/line-home.md). The error names file and line.
[[nodiscard]] Result<std::vector<Route>> parse_routes(std::string_view text,
                                                      const std::filesystem::path& file);
[[nodiscard]] Result<std::vector<Route>> load_routes(const std::filesystem::path& file);

}  // namespace furnace::proxy
