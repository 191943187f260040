#include "hypervisor/qemu/read_ahead.h"

namespace furnace::hypervisor {

using broker::SentCell;
using broker::SentPlace;

std::optional<SentCell> ReadAhead::take(const SentPlace& place, Clock::time_point now) {
  earlier_ = find(place);
  note(place);
  if (now - asked_ > kFresh) next_fetched_ = places_.size();
  for (size_t i = next_fetched_; i < places_.size() && i < cells_.size(); ++i) {
    if (places_[i].gpa != place.gpa || places_[i].length != place.length) continue;
    next_fetched_ = i + 1;
    return cells_[i];
  }
  return std::nullopt;
}

size_t ReadAhead::find(const SentPlace& place) const {
  constexpr size_t detour = 8;
  if (earlier_ != kNone)
    for (size_t i = 1; i <= detour; ++i)
      if (const size_t at = (earlier_ + i) % kRemembered;
          at < history_.size() && at != next_ && is_at(at, place))
        return at;
  const auto last = last_.find(place.gpa);
  return last != last_.end() && is_at(last->second, place) ? last->second : kNone;
}

std::vector<SentPlace> ReadAhead::plan(const SentPlace& place) const {
  std::vector<SentPlace> places{place};
  if (earlier_ == kNone) return places;
  for (size_t at = (earlier_ + 1) % kRemembered; places.size() <= kAhead; at = (at + 1) % kRemembered) {
    if (at >= history_.size() || at == next_ || history_[at].length == 0) break;
    places.push_back(history_[at]);
  }
  return places;
}

void ReadAhead::put(std::vector<SentPlace> places, std::vector<SentCell> cells, Clock::time_point asked) {
  asked_ = asked;
  places_ = std::move(places);
  cells_ = std::move(cells);
  next_fetched_ = 1;
}

void ReadAhead::forget() {
  next_fetched_ = places_.size();
  const size_t newest = (next_ + kRemembered - 1) % kRemembered;
  if (newest < history_.size() && history_[newest].length != 0) note({});
}

void ReadAhead::note(const SentPlace& place) {
  if (history_.size() < kRemembered) {
    history_.push_back(place);
  } else {
    const auto old = last_.find(history_[next_].gpa);
    if (old != last_.end() && old->second == next_) last_.erase(old);
    if (earlier_ == next_) earlier_ = kNone;
    history_[next_] = place;
  }
  if (place.length != 0) last_[place.gpa] = next_;
  next_ = (next_ + 1) % kRemembered;
}

}  // namespace furnace::hypervisor
