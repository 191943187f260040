#include "launch/run/restarts.h"

#include <algorithm>
#include <utility>

namespace furnace::launch {

bool Restarts::count_start(Clock::time_point now) {
  const std::chrono::seconds interval(limit_.interval_seconds);
  while (!starts_.empty() && now - starts_.front() >= interval) starts_.pop_front();
  if (starts_.size() >= limit_.burst) return false;
  starts_.push_back(now);
  return true;
}

std::chrono::milliseconds Restarts::delay_after(Clock::duration life) {
  if (life > kGoodLife) forgive();
  return std::exchange(delay_, std::min(delay_ * 2, kLongestDelay));
}

void Restarts::forgive() {
  delay_ = kFirstDelay;
}

}  // namespace furnace::launch
