// `furnace top`: the partitions of this host; or the counters of a VMI partition's apps, from the socket that
// --metrics names.
#pragma once

#include <string>
#include <vector>

#include "base/result.h"
#include "sandbox/state.h"

namespace furnace::cli {

struct TopOptions {
  std::string socket;   ///< empty: all partitions
  double interval = 2;  ///< seconds between two looks
  bool once = false;    ///< totals since the start, and end
  std::string
      serve;  ///< where to show all partitions as Prometheus text instead: ADDRESS:PORT, or a socket's path
};

[[nodiscard]] Status show_top(const TopOptions& options);

/// The table for one look: rates between `before` and `now` (Prometheus text), `seconds` apart; totals if
/// `before` is empty.
[[nodiscard]] std::string format_top(const std::string& before, const std::string& now, double seconds);

/// The same of all partitions, as Prometheus text.
[[nodiscard]] std::string partition_metrics(const std::vector<sandbox::PartitionState>& states);

/// The table of partitions: CPU and messages per second between two looks, `seconds` apart; totals if
/// `before` is null.
[[nodiscard]] std::string format_partitions(const std::vector<sandbox::PartitionState>* before,
                                            const std::vector<sandbox::PartitionState>& now, double seconds);

}  // namespace furnace::cli
