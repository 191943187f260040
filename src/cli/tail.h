// `furnace tail`: shows the messages of an app as they pass its FAC partition.
#pragma once

#include <string>

#include "base/result.h"

namespace furnace::cli {

struct TailOptions {
  std::string app;        ///< its id; its sockets are looked for in FURNACE_DIR
  std::string directory;  ///< of its sockets, instead
  bool json = false;
  uint64_t count = 0;  ///< messages after which to end; 0: at a signal
};

[[nodiscard]] Status tail(const TailOptions& options);

}  // namespace furnace::cli
