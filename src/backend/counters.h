// What a backend counts.
#pragma once

#include <array>
#include <cstdint>

namespace furnace::backend {

struct Counters {
  uint64_t messages = 0, requests = 0, durable = 0, known = 0, early = 0;
  uint64_t failed = 0, lost = 0, bytes = 0;
  uint64_t notified = 0, broadcast = 0, unsent = 0;
  uint64_t malformed = 0, refused = 0;
};

struct CounterName {
  const char* name;
  const char* help;
  uint64_t Counters::*counter;
};
inline constexpr std::array kCounterNames = {
    CounterName{"messages", "One-way messages of apps", &Counters::messages},
    CounterName{"requests", "Requests of apps", &Counters::requests},
    CounterName{"durable_messages", "Durable messages that were delivered", &Counters::durable},
    CounterName{"repeated_messages", "Durable messages that had come before", &Counters::known},
    CounterName{"early_messages", "Durable messages that others before them were missing for",
                &Counters::early},
    CounterName{"failed_callbacks", "Messages whose callback failed", &Counters::failed},
    CounterName{"lost_messages", "One-way messages of apps that never came", &Counters::lost},
    CounterName{"received_bytes", "Bytes of all messages", &Counters::bytes},
    CounterName{"notifications", "Messages to one app", &Counters::notified},
    CounterName{"broadcasts", "Messages to all apps", &Counters::broadcast},
    CounterName{"unsent", "Messages and answers that could not be sent", &Counters::unsent},
    CounterName{"malformed_messages", "Messages without valid form", &Counters::malformed},
    CounterName{"refused_messages", "Messages under another app's name, or with a key that was revoked",
                &Counters::refused},
};

}  // namespace furnace::backend
