#include "hypervisor/qemu/read_ahead.h"

namespace furnace::hypervisor {

using broker::SentCell;
using broker::SentPlace;

std::optional<SentCell> ReadAhead::take(const SentPlace& place) {
  for (size_t i = next_fetched_; i < places_.size() && i < cells_.size(); ++i) {
    if (places_[i].gpa != place.gpa || places_[i].length != place.length) continue;
    next_fetched_ = i + 1;
    return cells_[i];
  }
  return std::nullopt;
}

std::vector<SentPlace> ReadAhead::plan(const SentPlace& place) const {
  std::vector<SentPlace> places{place};
  const auto last = last_.find(place.gpa);
  if (last == last_.end()) return places;
  const size_t behind_newest = history_.size() < kRemembered ? history_.size() : oldest_;
  for (size_t i = last->second + 1; places.size() <= kAhead; ++i) {
    i %= kRemembered;
    if (i == behind_newest) break;
    places.push_back(history_[i]);
  }
  return places;
}

void ReadAhead::put(std::vector<SentPlace> places, std::vector<SentCell> cells) {
  places_ = std::move(places);
  cells_ = std::move(cells);
  next_fetched_ = 1;
}

void ReadAhead::note(const SentPlace& place) {
  size_t at = history_.size();
  if (at < kRemembered) {
    history_.push_back(place);
  } else {
    at = oldest_;
    oldest_ = (oldest_ + 1) % kRemembered;
    const auto old = last_.find(history_[at].gpa);
    if (old != last_.end() && old->second == at) last_.erase(old);
    history_[at] = place;
  }
  last_[place.gpa] = at;
}

}  // namespace furnace::hypervisor
