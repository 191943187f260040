// What a partition prints, handed on: as much as it may print, so that no app fills its host's logs.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>

#include "base/fd.h"

namespace furnace::sandbox {

struct OutputLimit {
  uint64_t at_once = 16 << 20;     ///< bytes
  uint64_t per_second = 64 << 10;  ///< bytes that it gets back
};

class Output {
 public:
  using Clock = std::chrono::steady_clock;
  Output(Fd from, int to, const OutputLimit& limit)
      : from_(std::move(from)), to_(to), limit_(limit), left_(limit.at_once) {}

  [[nodiscard]] int descriptor() const { return from_.get(); }
  /// Takes what is there. False: its end.
  bool forward(Clock::time_point now = Clock::now());
  /// Bytes not handed on since this was asked last.
  [[nodiscard]] uint64_t take_dropped();

 private:
  Fd from_;
  int to_;
  OutputLimit limit_;
  uint64_t left_;
  uint64_t dropped_ = 0;
  Clock::time_point last_ = Clock::now();
};

}  // namespace furnace::sandbox
