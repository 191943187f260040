#include "hypervisor/simulator/timeline.h"

namespace furnace::hypervisor {
namespace {

std::chrono::nanoseconds seconds(double value) {
  return std::chrono::nanoseconds(static_cast<int64_t>(std::min(value, 1e9) * 1e9));
}

}  // namespace

Timeline::Timeline(const std::vector<TimelineEntry>& entries) : entries_(entries) {
  for (size_t i = 0; i < entries_.size(); ++i)
    if (entries_[i].count != 0) items_.push({seconds(entries_[i].at), i, entries_[i].count});
}

std::chrono::nanoseconds Timeline::now() const {
  return elapsed_ + (running_since_ ? Clock::now() - *running_since_ : std::chrono::nanoseconds(0));
}

const TimelineEntry* Timeline::next_due() {
  if (items_.empty() || !running_since_ || items_.top().due > now()) return nullptr;
  const Item item = items_.top();
  items_.pop();
  const TimelineEntry& entry = entries_[item.entry];
  if (item.left > 1) items_.push({item.due + seconds(entry.every), item.entry, item.left - 1});
  return &entry;
}

std::optional<std::chrono::nanoseconds> Timeline::until_next() const {
  if (items_.empty() || !running_since_) return std::nullopt;
  return std::max(items_.top().due - now(), std::chrono::nanoseconds(0));
}

void Timeline::stop() {
  elapsed_ = now();
  running_since_.reset();
}

void Timeline::go_on() {
  if (!running_since_) running_since_ = Clock::now();
}

}  // namespace furnace::hypervisor
