// The command line of a VMI partition (wire.md section 4).
#pragma once

#include <CLI/CLI.hpp>
#include <chrono>
#include <string>
#include <vector>

#include "base/places.h"
#include "base/result.h"

namespace furnace::launch {

struct VmiOptions {
  std::string vm;
  std::string driver = "auto";
  std::string directory = places::kVmi;
  std::string profile;
  std::string types;
  uint32_t calls_per_second = 0;        ///< of each app; 0: no limit
  size_t outstanding_bytes = 16 << 20;  ///< of answers that an app has not read
  std::string metrics;                  ///< path of a socket that shows counters; empty: none
  unsigned watchdog_ms = 1000;
  std::vector<std::string> watchdogs;  ///< APP=MS
  std::vector<std::string> forbidden;  ///< [APP=]write,pause,events
  std::string events_by = "auto";
  // The launcher's, for the program inside:
  bool confined = false;
  int handles = -1;             ///< a descriptor: hypervisor::Lent::text
  int metrics_descriptor = -1;  ///< such a socket, bound
  int scratch = -1;             ///< a descriptor: an empty file for attach()
  int counter = -1;             ///< the launcher's: a descriptor, counts messages
};

/// The longest time that SYNC events of one app may keep the guest paused.
struct Watchdog {
  std::string app;
  std::chrono::milliseconds time;
};
/// APP=MILLISECONDS.
[[nodiscard]] Result<Watchdog> parse_watchdog(std::string_view text);

/// The drivers that there are: this library knows none of them.
struct DriverChoice {
  std::vector<std::string> names;
  std::string help;
};
void add_options(CLI::App& flags, VmiOptions& options, const DriverChoice& drivers);

}  // namespace furnace::launch
