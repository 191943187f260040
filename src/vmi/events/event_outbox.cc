#include "vmi/events/event_outbox.h"

namespace furnace::vmi {
namespace {

/// The owner of an event is notified at the identity of its call socket with the last character replaced by
/// 'd' (wire.md section 1).
std::string event_identity(const Session& owner) {
  std::string identity = owner.routing;
  if (!identity.empty()) identity.back() = 'd';
  return identity;
}

}  // namespace

void EventOutbox::put(Box& box, wire::Event event) {
  const bool first = box.events++ == 0;
  (first ? *box.message.mutable_event() : *box.message.add_more_events()) = std::move(event);
}

bool EventOutbox::flush(Session& owner, Box& box) {
  if (box.events == 0) return true;
  box.message.add_type(wire::VmiMessage::EVENT);
  wire::Event& first = *box.message.mutable_event();
  if (owner.events_lost != 0) first.set_lost(owner.events_lost);
  if (box.timed_out != 0) first.set_timed_out(box.timed_out);
  const bool sent = send_(owner, event_identity(owner), box.message);
  const auto events = static_cast<uint64_t>(std::exchange(box.events, 0));
  box.message.Clear();
  if (!sent) {
    owner.events_lost += events;
    owner.counters.events_lost += events;
    return false;
  }
  box.last_sent = Clock::now();
  owner.events_lost = 0;
  box.timed_out = 0;
  owner.counters.events += events;
  return true;
}

bool EventOutbox::send(Session& owner, wire::Event event) {
  Box& box = boxes_[&owner];
  (void)flush(owner, box);
  put(box, std::move(event));
  return flush(owner, box);
}

void EventOutbox::gather(Session& owner, wire::Event event) {
  Box& box = boxes_[&owner];
  put(box, std::move(event));
  if (box.events >= kMaxGathered || Clock::now() - box.last_sent >= kGatherTime) (void)flush(owner, box);
}

std::optional<EventOutbox::Clock::time_point> EventOutbox::next_deadline() const {
  std::optional<Clock::time_point> next;
  for (const auto& [owner, box] : boxes_)
    if (box.events != 0 && (!next || box.last_sent + kGatherTime < *next)) next = box.last_sent + kGatherTime;
  return next;
}

void EventOutbox::send_due(Clock::time_point now) {
  for (auto& [owner, box] : boxes_)
    if (box.last_sent + kGatherTime <= now) (void)flush(*owner, box);
}

}  // namespace furnace::vmi
