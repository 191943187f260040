// Which small pieces of memory will be read next: those that were read after this one the last time.
#pragma once

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
  /// Returns `place` if it was fetched ahead. What was fetched is given out once, and in the order in which
  /// it was read: what has been passed over is dropped.
  [[nodiscard]] std::optional<broker::SentCell> take(const broker::SentPlace& place);
  /// What to fetch where `place` was not: it, and what followed it the last time.
  [[nodiscard]] std::vector<broker::SentPlace> plan(const broker::SentPlace& place) const;
  /// What came, in the order of `plan`; the first is given out already.
  void put(std::vector<broker::SentPlace> places, std::vector<broker::SentCell> cells);
  /// Notes that `place` was read.
  void note(const broker::SentPlace& place);
  /// Drops what was fetched.
  void forget() { next_fetched_ = places_.size(); }

 private:
  static constexpr size_t kRemembered = 4096, kAhead = 16;

  std::vector<broker::SentPlace> places_;
  std::vector<broker::SentCell> cells_;
  size_t next_fetched_ = 0;

  std::vector<broker::SentPlace> history_;     ///< a ring
  size_t oldest_ = 0;                          ///< of a full ring
  std::unordered_map<uint64_t, size_t> last_;  ///< by address: its last place in the ring
};

}  // namespace furnace::hypervisor
