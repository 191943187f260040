// What a FAC partition counts.
#pragma once

#include <array>
#include <cstdint>

namespace furnace::facilities {

struct Counters {
  uint64_t gets = 0, sets = 0, failed_sets = 0;
  uint64_t requests = 0, answers = 0, timeouts = 0;
  uint64_t sent = 0, received = 0, broadcasts = 0;
  uint64_t kept = 0, delivered = 0, resent = 0;
  uint64_t dropped = 0, refused = 0;
  uint64_t connections = 0;
};

struct CounterName {
  const char* name;
  const char* help;
  uint64_t Counters::*counter;
};
inline constexpr std::array kCounterNames = {
    CounterName{"gets", "Values that were asked for", &Counters::gets},
    CounterName{"sets", "Values to store", &Counters::sets},
    CounterName{"failed_sets", "Values that were not stored", &Counters::failed_sets},
    CounterName{"requests", "Requests to the backend", &Counters::requests},
    CounterName{"answers", "Answers of the backend", &Counters::answers},
    CounterName{"timeouts", "Requests that got no answer in time", &Counters::timeouts},
    CounterName{"sent_messages", "One-way messages to the backend", &Counters::sent},
    CounterName{"received_messages", "Messages of the backend to this app", &Counters::received},
    CounterName{"broadcasts", "Messages of the backend to all apps", &Counters::broadcasts},
    CounterName{"kept_messages", "Durable messages that were taken", &Counters::kept},
    CounterName{"delivered_messages", "Durable messages that the backend has acknowledged",
                &Counters::delivered},
    CounterName{"resent_messages", "Durable messages that were sent once more", &Counters::resent},
    CounterName{"dropped_messages", "Messages without valid form, or that found a queue full",
                &Counters::dropped},
    CounterName{"refused_messages", "Messages of who is not this app", &Counters::refused},
    CounterName{"connections", "Connections to the proxy", &Counters::connections},
};

}  // namespace furnace::facilities
