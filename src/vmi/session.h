// What the VMI partition keeps for each app that is connected.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "vmi/calls/permissions.h"

namespace furnace::vmi {

/// What an app did and got, for the operator.
struct Counters {
  uint64_t messages = 0, calls = 0, failed_calls = 0;
  uint64_t bytes_in = 0, bytes_out = 0;
  uint64_t events = 0, events_lost = 0;
  uint64_t refused = 0;    ///< messages that came while too many waited
  uint64_t throttled = 0;  ///< times it waited for its rate of calls
  uint64_t watchdog = 0;   ///< SYNC events that it did not resume in time
  uint64_t busy_ns = 0;    ///< time spent on its calls
};

struct Session {
  std::string identity;  ///< of its call socket, "<app>-r", fit for a log
  std::string routing;   ///< the same as it came
  size_t place = 0;      ///< the socket it came to
  Permissions forbidden;
  bool events_started = false;
  uint64_t events_lost = 0;  ///< since the last one that was delivered

  /// The app: its identity without the socket's "-r".
  [[nodiscard]] std::string_view app() const {
    return std::string_view(identity).substr(
        0, identity.ends_with("-r") ? identity.size() - 2 : identity.size());
  }
  Counters counters;
};

}  // namespace furnace::vmi
