// A message of an app as backends get it.
#pragma once

#include <cstdint>
#include <string>

#include "protocol/content.h"

namespace furnace::backend {

using protocol::Content;

struct Message : Content {
  std::string app;
  bool wants_answer = false;
  std::string id;           ///< of a durable message: the same if it comes again; else empty
  std::string traceparent;  ///< W3C Trace Context, if the app's message has one
  int64_t received_ns = 0;  ///< since 1970
};

}  // namespace furnace::backend
