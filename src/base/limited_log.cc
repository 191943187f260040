#include "base/limited_log.h"

namespace furnace::log {

void Limited::tell_left_out(Clock::time_point now) {
  if (left_out_ == 0 || now - since_ < kPeriod) return;
  log::warning("{}: {} more within {} s, left out of the log", what_, left_out_, kPeriod.count());
  left_out_ = 0;
}

bool Limited::takes(Clock::time_point now) {
  if (lines_ == 0 || now - since_ >= kPeriod) {
    tell_left_out(now);
    since_ = now;
    lines_ = 0;
  }
  if (lines_ < kLines) {
    ++lines_;
    return true;
  }
  ++left_out_;
  return false;
}

}  // namespace furnace::log
