// What happens to a simulated guest when, on a clock that is paused with the guest.
#pragma once

#include <chrono>
#include <optional>
#include <queue>
#include <vector>

#include "hypervisor/simulator/description.h"

namespace furnace::hypervisor {

class Timeline {
 public:
  using Clock = std::chrono::steady_clock;

  explicit Timeline(const std::vector<TimelineEntry>& entries);

  /// The next entry that is due, if there is one; entries due at one time in the order of their description.
  [[nodiscard]] const TimelineEntry* next_due();
  /// How long until something is due; nullopt: never, or the clock is paused.
  [[nodiscard]] std::optional<std::chrono::nanoseconds> until_next() const;

  void stop();
  void go_on();

 private:
  struct Item {
    std::chrono::nanoseconds due;
    size_t entry;
    uint64_t left;
    bool operator>(const Item& other) const {
      return std::pair(due, entry) > std::pair(other.due, other.entry);
    }
  };
  [[nodiscard]] std::chrono::nanoseconds now() const;

  std::vector<TimelineEntry> entries_;
  std::priority_queue<Item, std::vector<Item>, std::greater<>> items_;
  std::chrono::nanoseconds elapsed_{0};  // until the clock was stopped last
  std::optional<Clock::time_point> running_since_ = Clock::now();
};

}  // namespace furnace::hypervisor
