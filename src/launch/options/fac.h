// The command line of a FAC partition (wire.md section 4).
#pragma once

#include <CLI/CLI.hpp>
#include <string>
#include <string_view>

#include "base/result.h"

namespace furnace::launch {

struct FacOptions {
  std::string app;  ///< the app's id
  std::string quotas;
  std::string keys;
  std::string proxy_ip;
  uint16_t proxy_port = 5561;
  std::string directory;
  std::string storage;
  bool blind = false;  ///< the proxy passes connections on
  std::string metrics;
  int metrics_descriptor = -1;  ///< the launcher's: bound for it
  bool confined = false;        ///< the launcher's, for the program inside
  int counter = -1;             ///< the launcher's: a descriptor, counts messages
};

/// Bytes that an app may have stored, and that its durable messages may take while they wait.
struct Quotas {
  uint64_t disk = 10'000'000, outbox = 10'000'000;
};
/// "k:v,k:v"; unknown keys are ignored (wire.md section 4).
[[nodiscard]] Result<Quotas> parse_quotas(std::string_view text);

void add_options(CLI::App& flags, FacOptions& options);

}  // namespace furnace::launch
