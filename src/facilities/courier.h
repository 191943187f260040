// Brings what waits in the outbox to the backend: in order, again until it is acknowledged.
#pragma once

#include <chrono>
#include <functional>

#include "facilities.pb.h"
#include "facilities/counters.h"
#include "facilities/outbox.h"

namespace furnace::facilities {

class Courier {
 public:
  using Clock = std::chrono::steady_clock;
  /// Sends a message as a request; false if it can't be sent now.
  using Send = std::function<bool(const FacMessage&)>;

  Courier(Outbox outbox, Counters& counters, Send send)
      : outbox_(std::move(outbox)), counters_(counters), send_(std::move(send)) {}

  /// Takes a message in; when this returns it would survive a power loss.
  [[nodiscard]] Status keep(const BeMsg& message);

  /// Takes note of answers, and sends what may be under way: many at a time to a backend that numbers its
  /// answers, one to another.
  void pump(bool one_at_a_time, Clock::time_point now);

  /// The backend's answer to a durable message. Answers of backends of 1.0 name none: theirs is the one under
  /// way.
  void take(const BeMsgRet& answer);

  /// What is under way may have been lost with its connection: all of it is sent again.
  void rewind();
  /// The same when no answer came for long.
  void rewind_if_late(Clock::time_point now);

  [[nodiscard]] bool is_one_under_way() const { return next_ > outbox_.first(); }
  [[nodiscard]] const Outbox& outbox() const { return outbox_; }

 private:
  /// Forgets what was delivered: once for many answers, since each time is a write to the disk.
  void settle(Clock::time_point now);
  void wait_from(Clock::time_point now);

  Outbox outbox_;
  Counters& counters_;
  Send send_;
  uint64_t next_ = 0;       // the number to send next
  uint64_t sent_ = 0;       // the highest number that was ever sent
  uint64_t delivered_ = 0;  // the highest number that the backend has
  size_t bytes_under_way_ = 0;
  Clock::duration patience_{};
  Clock::time_point late_ = Clock::time_point::max();
};

}  // namespace furnace::facilities
