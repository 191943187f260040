// W3C Trace Context, level 1: what happened because of what, across processes.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace furnace::protocol {

struct TraceId {
  uint64_t high = 0, low = 0;
  explicit operator bool() const { return (high | low) != 0; }
};

/// A `traceparent` of this trace, with a new span: "00-<32 hex>-<16 hex>-01".
[[nodiscard]] std::string traceparent(TraceId trace);

/// The 32 digits of the trace, and the 16 of the span, in a traceparent; empty if it is none.
struct TraceParts {
  std::string_view trace, span;
};
[[nodiscard]] TraceParts parse_traceparent(std::string_view text);

}  // namespace furnace::protocol
