// When a part may be started again: after a time that grows while it fails, and a limited number of times.
#pragma once

#include <chrono>
#include <deque>

#include "launch/manifest.h"

namespace furnace::launch {

using Clock = std::chrono::steady_clock;

class Restarts {
 public:
  explicit Restarts(const StartLimit& limit) : limit_(limit) {}

  /// Whether another start is within the limit; it is counted then.
  [[nodiscard]] bool count_start(Clock::time_point now);

  /// How long to wait after an end: twice as long each time, up to half a minute; after half a minute of life
  /// the time is short again.
  [[nodiscard]] std::chrono::milliseconds delay_after(Clock::duration life);
  /// The next time is short.
  void forgive();

 private:
  static constexpr std::chrono::milliseconds kFirstDelay{500}, kLongestDelay{30'000}, kGoodLife{30'000};
  StartLimit limit_;
  std::chrono::milliseconds delay_ = kFirstDelay;
  std::deque<Clock::time_point> starts_;
};

}  // namespace furnace::launch
