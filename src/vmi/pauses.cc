#include "vmi/pauses.h"

#include <algorithm>
#include <utility>

#include "base/log.h"

namespace furnace::vmi {

bool Pauses::is_held() const {
  return std::any_of(apps_.begin(), apps_.end(), [](const auto& each) {
    return each.second.by_calls != 0 || each.second.by_events != 0;
  });
}

Status Pauses::resume_unless_held() {
  return is_held() ? Status() : hypervisor_.resume();
}

void Pauses::resume_or_log() {
  if (auto resumed = resume_unless_held(); !resumed)
    log::error("guest not resumed: {}", resumed.error().message());
}

Pauses::Milliseconds Pauses::watchdog_of(const Session& app) const {
  const auto own = watchdogs_.find(app.app());
  return own != watchdogs_.end() ? own->second : watchdog_;
}

Status Pauses::pause(Session& app) {
  FURNACE_CHECK(hypervisor_.pause());
  ++apps_[&app].by_calls;
  return {};
}

Result<Pauses::Resumed> Pauses::resume(Session& app) {
  const auto found = apps_.find(&app);
  if (found == apps_.end()) return fail(Errc::Invalid, "this app has not paused the VM");
  Held& held = found->second;
  if (held.by_events != 0) {
    if (--held.by_events == 0) held.deadline.reset();
  } else if (held.by_calls != 0) {
    --held.by_calls;
  } else if (held.late_resumes != 0) {
    --held.late_resumes;
    return Resumed::TooLate;
  } else {
    return fail(Errc::Invalid, "this app has not paused the VM");
  }
  FURNACE_CHECK(resume_unless_held());
  return Resumed::InTime;
}

void Pauses::hold_for_event(Session& app, const std::function<bool()>& send) {
  if (auto paused = hypervisor_.pause(); !paused)
    return log::error("guest not paused for an event: {}", paused.error().message());
  if (!send()) return resume_or_log();
  Held& held = apps_[&app];
  ++held.by_events;
  if (const Milliseconds time = watchdog_of(app); time.count() != 0) held.deadline = Clock::now() + time;
}

void Pauses::release(Session& app) {
  const auto found = apps_.find(&app);
  if (found == apps_.end()) return;
  const uint32_t pauses = found->second.by_calls + found->second.by_events;
  apps_.erase(found);
  if (pauses == 0) return;
  log::info("{} has disconnected: its {} pauses end", app.identity, pauses);
  resume_or_log();
}

std::vector<Pauses::Expired> Pauses::expire(Clock::time_point now) {
  std::vector<Expired> expired;
  for (auto& [app, held] : apps_) {
    if (!held.deadline || *held.deadline > now) continue;
    log::warning("{} kept the guest paused for {} ms after an event: the guest resumes", app->identity,
                 watchdog_of(*app).count());
    ++app->counters.watchdog;
    expired.push_back({app, held.by_events});
    held.late_resumes += std::exchange(held.by_events, 0);
    held.deadline.reset();
    resume_or_log();
  }
  return expired;
}

std::optional<Pauses::Clock::time_point> Pauses::next_deadline() const {
  std::optional<Clock::time_point> next;
  for (const auto& [app, held] : apps_)
    if (held.deadline && (!next || *held.deadline < *next)) next = held.deadline;
  return next;
}

}  // namespace furnace::vmi
