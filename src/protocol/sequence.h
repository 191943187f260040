// One-way messages are numbered by who sends them, so that who receives them knows how many were lost on the
// way (facilities.proto: BeMsg.run and BeMsg.sequence).
#pragma once

#include <cstdint>

#include "facilities.pb.h"

namespace furnace::protocol {

/// A random number that is never 0.
[[nodiscard]] uint64_t random_number();

/// Numbers the messages of one sender.
class Numbering {
 public:
  void stamp(facilities::BeMsg& message) {
    message.set_run(run_);
    message.set_sequence(++last_);
  }
  /// Takes the last number back: its message was not sent.
  void undo() { --last_; }

 private:
  uint64_t run_ = random_number();
  uint64_t last_ = 0;
};

/// How far the messages of one sender have come.
struct SequenceTracker {
  uint64_t run = 0;  ///< 0: none yet
  uint64_t sequence = 0;

  /// Takes a message's number; returns how many are missing between it and the one before. The first of a run
  /// starts a new count; peers of 1.0 don't number, and are never missed.
  uint64_t take(const facilities::BeMsg& message) {
    if (message.run() == 0) return 0;
    const bool known = message.run() == run;
    const uint64_t before = known ? sequence : message.sequence() - 1;
    if (message.sequence() <= before && known) return 0;
    run = message.run();
    sequence = message.sequence();
    return sequence - before - 1;
  }
};

}  // namespace furnace::protocol
