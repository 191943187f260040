// A message of an app as sinks store it.
#pragma once

#include <string>

#include "backend/message.h"

namespace furnace::backend {

/// The message as one JSON object, in one line: time (RFC 3339, UTC), app, kind (message, request, durable),
/// text or data (base64), id and trace if it has them.
[[nodiscard]] std::string to_json(const Message& message);

[[nodiscard]] std::string_view kind_of(const Message& message);
/// RFC 3339 with nanoseconds, UTC.
[[nodiscard]] std::string time_of(const Message& message);

}  // namespace furnace::backend
