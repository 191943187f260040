#include "protocol/event_loop.h"

#include <algorithm>
#include <cerrno>

#include "base/log.h"

namespace furnace::protocol {

void EventLoop::watch(zmq::socket_t& socket, Callback ready) {
  items_.push_back({socket.handle(), 0, ZMQ_POLLIN, 0});
  callbacks_.push_back(std::move(ready));
}

void EventLoop::watch(int descriptor, Callback ready) {
  items_.push_back({nullptr, descriptor, ZMQ_POLLIN, 0});
  callbacks_.push_back(std::move(ready));
}

uint64_t EventLoop::add_timer(std::chrono::duration<double> interval, Callback due) {
  const auto ticks = std::chrono::duration_cast<Clock::duration>(interval);
  timers_.emplace(next_timer_, Timer{ticks, Clock::now() + ticks, std::move(due)});
  return next_timer_++;
}

std::chrono::milliseconds EventLoop::time_to_next_timer() const {
  if (timers_.empty()) return std::chrono::milliseconds(-1);
  const auto next = std::min_element(timers_.begin(), timers_.end(), [](const auto& a, const auto& b) {
    return a.second.due < b.second.due;
  });
  const auto left = std::chrono::ceil<std::chrono::milliseconds>(next->second.due - Clock::now());
  return std::max(left, std::chrono::milliseconds(0));
}

void EventLoop::run_timers() {
  const auto now = Clock::now();
  std::vector<uint64_t> due;
  for (const auto& [number, timer] : timers_)
    if (timer.due <= now) due.push_back(number);
  for (const uint64_t number : due) {
    const auto timer = timers_.find(number);  // a callback before may have removed it
    if (timer == timers_.end()) continue;
    // Late turns are left out, not made up for.
    timer->second.due = std::max(timer->second.due + timer->second.interval, now);
    const Callback callback = timer->second.callback;
    callback();
    if (stopped_) return;
  }
}

void EventLoop::run() {
  while (!stopped_) {
    try {
      zmq::poll(items_, time_to_next_timer());
    } catch (const zmq::error_t& error) {
      if (error.num() != EINTR) log::error("poll: {}", error.what());
      continue;
    }
    for (size_t i = 0; i < items_.size() && !stopped_; ++i)
      if (items_[i].revents != 0) callbacks_[i]();
    if (!stopped_) run_timers();
  }
}

}  // namespace furnace::protocol
