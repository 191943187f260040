#include "vmi/calls/answer_room.h"

#include <utility>

#include "vmi/scheduler.h"

namespace furnace::vmi {

bool AnswerRoom::is_free() const {
  return holder_ == nullptr || (!holder_->running && *holder_->outstanding <= share());
}

bool AnswerRoom::take(const Client& client) {
  if (holder_ == &client) return true;
  if (!is_free()) {
    is_wanted_ = true;
    return false;
  }
  holder_ = &client;
  read_since_ = {};
  return true;
}

void AnswerRoom::forget(const Client& client) {
  if (holder_ == &client) holder_ = nullptr;
}

const Client* AnswerRoom::slow_reader(Clock::time_point now) {
  const bool is_wanted = std::exchange(is_wanted_, false);
  if (is_free() || holder_->running) {
    read_since_ = {};
    return nullptr;
  }
  if (read_since_ == Clock::time_point{}) read_since_ = now;
  return is_wanted && now - read_since_ > kTimeToRead ? holder_ : nullptr;
}

}  // namespace furnace::vmi
