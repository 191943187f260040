// Which small pieces of memory will be read next: those that were read after this one the last time.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <unordered_map>
#include <vector>

#include "hypervisor/broker/messages.h"

namespace furnace::hypervisor {

/// Walks of page tables and of kernel lists go the same way again and again, piece by piece. Where each piece
/// costs a message, the next ones are fetched with it.
class ReadAhead {
 public:
  using Clock = std::chrono::steady_clock;
  /// Notes that `place` is read, and returns it if it was fetched ahead. What was fetched is given out once,
  /// and in the order in which it was read; what has been passed over, or is older than kFresh, is dropped.
  [[nodiscard]] std::optional<broker::SentCell> take(const broker::SentPlace& place, Clock::time_point now);
  /// What to fetch where the place that was noted last was not: it, and what followed it the last time.
  [[nodiscard]] std::vector<broker::SentPlace> plan(const broker::SentPlace& place) const;
  /// What came, in the order of `plan`; the first is given out already.
  void put(std::vector<broker::SentPlace> places, std::vector<broker::SentCell> cells,
           Clock::time_point asked);
  /// Drops what was fetched: what comes next has nothing to do with what came before.
  void forget();

  /// A caller that does not say that something new begins (a search that is repeated) still sees the guest as
  /// it is.
  static constexpr std::chrono::milliseconds kFresh{1};

 private:
  static constexpr size_t kRemembered = 8192, kAhead = 32, kNone = SIZE_MAX;

  /// Where in the ring `place` was read the last time: best where we are on the same way as then.
  [[nodiscard]] size_t find(const broker::SentPlace& place) const;
  void note(const broker::SentPlace& place);
  [[nodiscard]] bool is_at(size_t at, const broker::SentPlace& place) const {
    return history_[at].gpa == place.gpa && history_[at].length == place.length;
  }

  std::vector<broker::SentPlace> places_;
  std::vector<broker::SentCell> cells_;
  size_t next_fetched_ = 0;
  Clock::time_point asked_{};  ///< when they were

  std::vector<broker::SentPlace> history_;     ///< a ring; a place without length: there we forgot
  size_t next_ = 0;                            ///< where the next one is noted
  size_t earlier_ = kNone;                     ///< where the last one was read before
  std::unordered_map<uint64_t, size_t> last_;  ///< by address: its last place in the ring
};

}  // namespace furnace::hypervisor
