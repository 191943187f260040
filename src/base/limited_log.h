// Warnings that strangers can cause, by rate: a peer that can't get in can't fill the log either.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>

#include "base/log.h"

namespace furnace::log {

/// Writes the first `kLines` warnings of each period, and counts the rest. One for each place that strangers
/// reach; not for several threads.
class Limited {
 public:
  using Clock = std::chrono::steady_clock;
  static constexpr unsigned kLines = 10;
  static constexpr std::chrono::seconds kPeriod{10};

  /// `what` names what the lines tell of, in the plural: "refused keys".
  explicit Limited(std::string what) : what_(std::move(what)) {}

  template <typename... Args>
  void warning(fmt::format_string<Args...> format, Args&&... args) {
    if (takes()) log::warning(format, std::forward<Args>(args)...);
  }

  /// Writes how many were left out, once their period has ended. Call it now and then: nothing else ends the
  /// silence when no more come.
  void tell_left_out(Clock::time_point now = Clock::now());

  /// Counts one more; returns whether its line is to be written.
  [[nodiscard]] bool takes(Clock::time_point now = Clock::now());
  [[nodiscard]] uint64_t left_out() const { return left_out_; }

 private:
  std::string what_;
  Clock::time_point since_{};
  unsigned lines_ = 0;
  uint64_t left_out_ = 0;  // of this period
};

}  // namespace furnace::log
