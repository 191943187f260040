#include "app/presence.h"

#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>

#include "base/log.h"
#include "base/signals.h"
#include "protocol/framing.h"
#include "protocol/monitor.h"

namespace furnace::app {

using std::chrono::duration_cast;
using std::chrono::seconds;

void Presence::begin_to_need() {
  {
    const std::lock_guard lock(mutex_);
    if (is_needed_.exchange(true) || is_there_) return;
    absent_since_ = Clock::now();
    reports_.emplace(*absent_since_);
  }
  if (wake_) wake_();
}

bool Presence::note(bool is_connected) {
  const std::lock_guard lock(mutex_);
  if (is_connected == is_there_) return false;
  is_there_ = is_connected;
  if (of_.for_good) is_needed_ = true;
  const auto now = Clock::now();
  if (is_connected) {
    if (std::exchange(is_reported_, false))
      log::info("{}: a {} is there again after {} s", of_.address, of_.partition,
                duration_cast<seconds>(absent_for(now)).count());
    absent_since_.reset();
    reports_.reset();
    return losses_ != 0;
  }
  ++losses_;
  if (is_needed_) {
    absent_since_ = now;
    reports_.emplace(now);
  }
  return false;
}

void Presence::report(Clock::time_point now) {
  const std::lock_guard lock(mutex_);
  if (!reports_ || gone_) return;
  if (const auto lasted = reports_->take(now)) {
    is_reported_ = true;
    log::warning("{}: there has been no {} for {} s; {}", of_.address, of_.partition, lasted->count(),
                 of_.meanwhile);
  }
}

std::optional<Presence::Clock::time_point> Presence::due() const {
  const std::lock_guard lock(mutex_);
  if (!absent_since_ || gone_) return std::nullopt;
  const auto report = reports_->due();
  const bool is_to_be_decided = of_.for_good && of_.limit.count() != 0;
  return is_to_be_decided ? std::min(report, *absent_since_ + of_.limit) : report;
}

std::optional<Error> Presence::gone() const {
  if (is_there_ && !is_gone_) return std::nullopt;
  const std::lock_guard lock(mutex_);
  if (gone_) return gone_;
  const auto now = Clock::now();
  if (!absent_since_ || of_.limit.count() == 0 || absent_for(now) < of_.limit) return std::nullopt;
  Error error(Errc::Gone, fmt::format("{}: there has been no {} for {} s; {}", of_.address, of_.partition,
                                      duration_cast<seconds>(absent_for(now)).count(), of_.advice));
  if (of_.for_good) {
    gone_ = error;
    is_gone_ = true;
  }
  return error;
}

Result<std::unique_ptr<PresenceWatch>> PresenceWatch::make() {
  Fd wake(::eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC));
  if (!wake.valid()) return fail_errno("eventfd");
  return std::unique_ptr<PresenceWatch>(new PresenceWatch(std::move(wake)));
}

void PresenceWatch::add(Presence& presence, zmq::socket_t monitor) {
  presence.set_wake([this] { wake(); });
  watched_.push_back({&presence, std::move(monitor)});
}

void PresenceWatch::start(Handlers handlers) {
  handlers_ = std::move(handlers);
  const HoldSignals for_the_main_thread;  // whose waits they must interrupt
  thread_ = std::thread([this] { run(); });
}

void PresenceWatch::stop() {
  is_stopped_ = true;
  wake();
  if (thread_.joinable()) thread_.join();
}

void PresenceWatch::wake() const {
  const uint64_t one = 1;
  (void)!::write(wake_.get(), &one, sizeof one);
}

void PresenceWatch::run() {
  while (!is_stopped_) {
    wait();
    read_changes();
    decide(Clock::now());
  }
}

void PresenceWatch::wait() {
  std::optional<Clock::time_point> next;
  if (gone_at_) next = *gone_at_ + kTimeToEnd;
  std::vector<zmq::pollitem_t> items{{nullptr, wake_.get(), ZMQ_POLLIN, 0}};
  for (Watched& each : watched_) {
    items.push_back({each.monitor.handle(), 0, ZMQ_POLLIN, 0});
    if (const auto due = each.presence->due()) next = std::min(next.value_or(*due), *due);
  }
  std::chrono::milliseconds time(-1);
  if (next) time = std::max(std::chrono::ceil<std::chrono::milliseconds>(*next - Clock::now()), {});
  zmq::poll(items, time);
  uint64_t count = 0;
  (void)!::read(wake_.get(), &count, sizeof count);
}

void PresenceWatch::read_changes() {
  for (Watched& each : watched_)
    while (const auto frames = protocol::receive(each.monitor)) {
      const int event = protocol::monitored_event(frames->front()).number;
      if (event != ZMQ_EVENT_CONNECTED && event != ZMQ_EVENT_DISCONNECTED) continue;
      if (each.presence->note(event == ZMQ_EVENT_CONNECTED) && &each == &watched_.front()) handlers_.back();
    }
}

void PresenceWatch::decide(Clock::time_point now) {
  for (const Watched& each : watched_) each.presence->report(now);
  if (gone_at_ && now >= *gone_at_ + kTimeToEnd) {
    gone_at_ = now;
    handlers_.overdue();
  }
  if (gone_at_ || !watched_.front().presence->gone()) return;
  gone_at_ = now;
  handlers_.gone();
}

}  // namespace furnace::app
