#include "protocol/trace.h"

#include <fmt/format.h>

#include <algorithm>
#include <random>
#include <string_view>

#include "protocol/sequence.h"

namespace furnace::protocol {

std::string traceparent(TraceId trace) {
  thread_local std::mt19937_64 spans(random_number());
  return fmt::format("00-{:016x}{:016x}-{:016x}-01", trace.high, trace.low, spans() | 1);
}

TraceParts parse_traceparent(std::string_view text) {
  constexpr size_t length = 55, trace_at = 3, trace_length = 32, span_at = 36, span_length = 16,
                   flags_at = 53;
  if (text.size() != length || text[trace_at - 1] != '-' || text[span_at - 1] != '-' ||
      text[flags_at - 1] != '-')
    return {};
  const TraceParts parts{text.substr(trace_at, trace_length), text.substr(span_at, span_length)};
  const auto is_hex = [](std::string_view part) {
    return part.find_first_not_of("0123456789abcdef") == std::string_view::npos &&
           part.find_first_not_of('0') != std::string_view::npos;
  };
  return is_hex(parts.trace) && is_hex(parts.span) ? parts : TraceParts{};
}

}  // namespace furnace::protocol
