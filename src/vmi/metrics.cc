#include "vmi/metrics.h"

#include <array>

namespace furnace::vmi {
namespace {

struct Metric {
  const char* name;
  const char* help;
  uint64_t Counters::*counter;
};
constexpr std::array kMetrics = {
    Metric{"messages", "Messages that were answered", &Counters::messages},
    Metric{"calls", "Calls that were executed", &Counters::calls},
    Metric{"failed_calls", "Calls that failed", &Counters::failed_calls},
    Metric{"received_bytes", "Bytes of its messages", &Counters::bytes_in},
    Metric{"sent_bytes", "Bytes of the answers", &Counters::bytes_out},
    Metric{"events", "Events that were delivered", &Counters::events},
    Metric{"lost_events", "Events that found its queue full", &Counters::events_lost},
    Metric{"refused_messages", "Messages refused because too many waited", &Counters::refused},
    Metric{"throttled", "Times it waited for its rate of calls", &Counters::throttled},
    Metric{"watchdog", "SYNC events not resumed in time", &Counters::watchdog},
    Metric{"busy_nanoseconds", "Time spent on its calls", &Counters::busy_ns},
};

}  // namespace

std::string metrics_text(const std::string& vm, const Clients& clients, uint64_t dropped) {
  MetricsText text;
  for (const Metric& metric : kMetrics) {
    text.metric(fmt::format("furnace_vmi_{}_total", metric.name), metric.help);
    for (const auto& [identity, client] : clients)
      text.sample({{"vm", vm}, {"app", client.session.identity}}, client.session.counters.*metric.counter);
  }
  text.metric("furnace_vmi_outstanding_bytes", "Bytes of answers that it has not read", "gauge");
  for (const auto& [identity, client] : clients)
    text.sample({{"vm", vm}, {"app", client.session.identity}}, *client.outstanding);
  text.single("furnace_vmi_dropped_total", "Messages of no valid form", {{"vm", vm}}, dropped);
  return text.text();
}

}  // namespace furnace::vmi
