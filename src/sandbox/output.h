// What a partition prints, handed on: as much as it may print, so that no app fills its host's logs.
#pragma once

#include <chrono>
#include <cstdint>
#include <string_view>

#include "base/fd.h"
#include "base/printable.h"

namespace furnace::sandbox {

struct OutputLimit {
  uint64_t at_once = 16 << 20;     ///< bytes
  uint64_t per_second = 64 << 10;  ///< bytes that it gets back
  bool raw = false;  ///< as it is; otherwise nothing of it acts on a terminal (base/printable.h)
};

/// It is read in turns, some time apart: until the next one what is printed waits in the pipe, and in the end
/// its writer. So it costs us little, however much is printed, and in however small pieces.
class Output {
 public:
  using Clock = std::chrono::steady_clock;
  Output(Fd from, int to, const OutputLimit& limit);

  /// When the next turn is due; before that there is no reason to poll descriptor().
  [[nodiscard]] Clock::time_point next_turn() const { return next_turn_; }
  [[nodiscard]] int descriptor() const { return from_.get(); }
  /// Nothing more will come.
  [[nodiscard]] bool ended() const { return !from_.valid(); }
  /// Takes its turn: hands on what is within the limit, and leaves out what is beyond.
  void forward(Clock::time_point now = Clock::now());
  /// Bytes left out since this was asked last.
  [[nodiscard]] uint64_t take_dropped();

 private:
  [[nodiscard]] bool over_limit() const { return left_ <= 0; }
  void hand_on(std::string_view text);

  Fd from_;
  int to_;
  OutputLimit limit_;
  int64_t left_;  ///< bytes; an escape is longer than what it replaces, which the next ones pay for
  uint64_t dropped_ = 0;
  PrintableStream safe_;
  Clock::time_point last_ = Clock::now(), next_turn_ = last_;
};

}  // namespace furnace::sandbox
