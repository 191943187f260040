// Memory for answers, of what a partition has: no app can take another's part, whether by what it asks or
// by not reading what it gets.
#pragma once

#include <algorithm>
#include <chrono>
#include <cstddef>

namespace furnace::vmi {

struct Client;

/// Each app has an equal share for its answers, those that are made and those that it has not read. One app
/// at a time has room for the largest that there are.
class AnswerRoom {
 public:
  using Clock = std::chrono::steady_clock;
  static constexpr size_t kShares = 8 << 20;  ///< all together
  /// How long an answer may be read that fills the room others wait for.
  static constexpr std::chrono::seconds kTimeToRead{5};

  void set_apps(size_t apps) { apps_ = std::max<size_t>(1, apps); }
  /// What each app has.
  [[nodiscard]] size_t share() const { return kShares / apps_; }

  /// Gives the large room to an app, if it is free or its own already.
  [[nodiscard]] bool take(const Client& client);
  [[nodiscard]] bool has(const Client& client) const { return holder_ == &client; }
  void forget(const Client& client);

  /// Who has not read a large answer in time, though others want the room. Call now and then.
  [[nodiscard]] const Client* slow_reader(Clock::time_point now);

 private:
  [[nodiscard]] bool is_free() const;

  size_t apps_ = 1;
  const Client* holder_ = nullptr;
  bool is_wanted_ = false;          // by another one, since the last look
  Clock::time_point read_since_{};  // the holder's answer waits only for its reader; none: it is being made
};

}  // namespace furnace::vmi
