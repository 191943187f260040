// Events begin traces: the app and its backend can tell what they did because of which one (W3C Trace
// Context).
#pragma once

#include <cstdint>

#include "protocol/sequence.h"
#include "vmi.pb.h"

namespace furnace::vmi {

class TraceIds {
 public:
  /// Gives an event a trace id of its own.
  void stamp(wire::Event& event) {
    event.set_trace_high(run_);
    event.set_trace_low(++last_);
  }

 private:
  uint64_t run_ = protocol::random_number();
  uint64_t last_ = protocol::random_number();
};

}  // namespace furnace::vmi
