// furnace top: what partitions use and do.
#pragma once

#include <string>
#include <vector>

#include "cli/commands.h"
#include "sandbox/state.h"

namespace furnace::cli {

void add_top(Commands& commands);

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
