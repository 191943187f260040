// When a wait is reported: nothing waits for long in silence.
#pragma once

#include <chrono>
#include <optional>

namespace furnace::app {

/// A wait is reported after two seconds, and then each time it has lasted twice as long.
class WaitReports {
 public:
  using Clock = std::chrono::steady_clock;
  explicit WaitReports(Clock::time_point since) : since_(since) {}

  /// When the next report is due.
  [[nodiscard]] Clock::time_point due() const { return since_ + after_; }
  /// Returns how long the wait has lasted if that is to be reported now.
  [[nodiscard]] std::optional<std::chrono::seconds> take(Clock::time_point now) {
    if (now < due()) return std::nullopt;
    const auto lasted = std::chrono::duration_cast<std::chrono::seconds>(now - since_);
    while (after_ <= lasted) after_ *= 2;
    return lasted;
  }

 private:
  Clock::time_point since_;
  std::chrono::seconds after_{2};
};

}  // namespace furnace::app
