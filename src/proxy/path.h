// A route at work.
#pragma once

#include <array>
#include <cstdint>
#include <string>

#include "proxy/route.h"

namespace furnace::proxy {

/// What a route counts.
struct Counters {
  uint64_t connections = 0, refused = 0, failed = 0, idle = 0, handshakes = 0;
  uint64_t bytes_out = 0, bytes_in = 0;  ///< to the backend, and from it
  uint64_t messages = 0, dropped = 0;
};

class Path {
 public:
  Path() = default;
  Path(const Path&) = delete;
  Path& operator=(const Path&) = delete;
  virtual ~Path() = default;

  [[nodiscard]] virtual const Route& route() const = 0;
  virtual void set_limits(const Limits& limits) = 0;
  /// Called once a second.
  virtual void look_after() = 0;
  /// Connections that stand.
  [[nodiscard]] virtual size_t connections() const = 0;
  [[nodiscard]] const Counters& counters() const { return counters_; }

 protected:
  Counters counters_;
};

}  // namespace furnace::proxy
