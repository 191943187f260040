// A message of an app as backends get it.
#pragma once

#include <cstdint>
#include <string>

namespace furnace::backend {

struct Message {
  std::string app;
  bool wants_answer = false;
  std::string content;  ///< text, or bytes
  bool is_bytes = false;
  std::string id;           ///< of a durable message: the same if it comes again; else empty
  std::string traceparent;  ///< W3C Trace Context, if the app's message has one
  int64_t received_ns = 0;  ///< since 1970
};

/// What a request is answered with.
struct Answer {
  std::string content;
  bool is_bytes = false;
};

}  // namespace furnace::backend
