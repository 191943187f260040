// Counters of the VMI partition for its operator.
#pragma once

#include <map>
#include <string>

#include "base/metrics.h"
#include "vmi/scheduler.h"

namespace furnace::vmi {

/// The counters of all apps in Prometheus' text format (version 0.0.4).
[[nodiscard]] std::string metrics_text(const std::string& vm, const Clients& clients, uint64_t dropped);

}  // namespace furnace::vmi
