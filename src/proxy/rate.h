// How much may pass in a second: a bucket of bytes that fills by itself.
#pragma once

#include <algorithm>
#include <chrono>
#include <cstdint>

namespace furnace::proxy {

class Rate {
 public:
  using Clock = std::chrono::steady_clock;

  /// 0: without a limit.
  explicit Rate(uint64_t bytes_per_second)
      : rate_(bytes_per_second), bytes_(static_cast<double>(bytes_per_second) / kBurst) {}

  [[nodiscard]] bool is_limited() const { return rate_ != 0; }

  /// How many bytes may pass now; 0: none.
  [[nodiscard]] size_t allowance(size_t wanted, Clock::time_point now = Clock::now()) {
    if (rate_ == 0) return wanted;
    const std::chrono::duration<double> passed = now - last_;
    last_ = now;
    bytes_ =
        std::min(bytes_ + passed.count() * static_cast<double>(rate_), static_cast<double>(rate_) / kBurst);
    return bytes_ < 1 ? 0 : std::min(wanted, static_cast<size_t>(bytes_));
  }
  /// More than was allowed may have passed: that is paid back.
  void spend(size_t bytes) {
    if (rate_ != 0) bytes_ -= static_cast<double>(bytes);
  }
  /// When some may pass again.
  [[nodiscard]] Clock::time_point next(Clock::time_point now = Clock::now()) const {
    const double wait = std::max(0.0, -bytes_) / static_cast<double>(std::max<uint64_t>(rate_, 1));
    return now + kStep + std::chrono::duration_cast<Clock::duration>(std::chrono::duration<double>(wait));
  }

 private:
  static constexpr int kBurst = 10;  // at most a tenth of a second's bytes at once
  static constexpr std::chrono::milliseconds kStep{10};

  uint64_t rate_;
  double bytes_;
  Clock::time_point last_ = Clock::now();
};

}  // namespace furnace::proxy
