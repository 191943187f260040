#include "backend/sinks/record.h"

#include <fmt/format.h>

#include "base/bytes.h"
#include "base/json_text.h"
#include "protocol/certificate.h"
#include "protocol/trace.h"

namespace furnace::backend {

std::string_view kind_of(const Message& message) {
  return message.wants_answer ? "request" : message.id.empty() ? "message" : "durable";
}

std::string time_of(const Message& message) {
  constexpr int64_t second = 1'000'000'000;
  std::string text = protocol::utc_time(message.received_ns / second);
  text.pop_back();  // its Z, after the fraction
  return fmt::format("{}.{:09}Z", text, message.received_ns % second);
}

std::string to_json(const Message& message) {
  nlohmann::ordered_json record{{"time", time_of(message)}, {"app", message.app}, {"kind", kind_of(message)}};
  if (!message.id.empty()) record["id"] = message.id;
  if (message.is_bytes) {
    record["data"] = to_base64(as_bytes(message.content));
  } else {
    record["text"] = valid_utf8(message.content);
  }
  if (const auto trace = protocol::parse_traceparent(message.traceparent); !trace.trace.empty()) {
    record["trace_id"] = trace.trace;
    record["span_id"] = trace.span;
  }
  return json_text(record);
}

}  // namespace furnace::backend
