#include "protocol/event_loop.h"

#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "base/log.h"

namespace furnace::protocol {

size_t EventLoop::watch(zmq::socket_t& socket, Callback ready) {
  items_.push_back({socket.handle(), 0, ZMQ_POLLIN, 0});
  callbacks_.push_back(std::move(ready));
  return items_.size() - 1;
}

size_t EventLoop::watch(int descriptor, Callback ready) {
  items_.push_back({nullptr, descriptor, ZMQ_POLLIN, 0});
  callbacks_.push_back(std::move(ready));
  return items_.size() - 1;
}

Status EventLoop::take_posts() {
  posts_ = std::make_unique<Posts>();
  posts_->wake = Fd(::eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC));
  if (!posts_->wake.valid()) return fail_errno("eventfd");
  watch(posts_->wake.get(), [this] { run_posts(); });
  return {};
}

void EventLoop::post(Callback work) {
  {
    const std::lock_guard lock(posts_->mutex);
    posts_->work.push_back(std::move(work));
  }
  wake();
}

void EventLoop::wake() {
  const uint64_t one = 1;
  (void)!::write(posts_->wake.get(), &one, sizeof one);
}

void EventLoop::stop() {
  stopped_ = true;
  if (posts_) wake();
}

void EventLoop::run_posts() {
  uint64_t count = 0;
  (void)!::read(posts_->wake.get(), &count, sizeof count);
  std::vector<Callback> work;
  {
    const std::lock_guard lock(posts_->mutex);
    work.swap(posts_->work);
  }
  for (const Callback& each : work) each();
}

uint64_t EventLoop::add_timer(std::chrono::duration<double> interval, Callback due) {
  // Negative: at every turn, as 0. What is no number never comes; nor does what is beyond the clock's range.
  constexpr std::chrono::duration<double> longest(std::chrono::years(100));
  const bool is_never = !(interval < longest);
  const auto ticks = std::chrono::duration_cast<Clock::duration>(
      is_never ? longest : std::max(interval, decltype(interval)(0)));
  timers_.emplace(next_timer_, Timer{ticks, Clock::now() + ticks, std::move(due)});
  return next_timer_++;
}

std::chrono::milliseconds EventLoop::time_to_next_timer() const {
  if (timers_.empty()) return std::chrono::milliseconds(-1);
  const auto next = std::min_element(timers_.begin(), timers_.end(), [](const auto& a, const auto& b) {
    return a.second.due < b.second.due;
  });
  const auto left = std::chrono::ceil<std::chrono::milliseconds>(next->second.due - Clock::now());
  return std::clamp(left, std::chrono::milliseconds(0), std::chrono::milliseconds(INT32_MAX));
}

std::chrono::milliseconds EventLoop::time_to_sleep() const {
  const bool waits =
      std::any_of(waiting_.begin(), waiting_.end(), [](const auto& each) { return each.first(); });
  return waits ? std::chrono::milliseconds(0) : time_to_next_timer();
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
      turn();
    } catch (const zmq::error_t& error) {
      // A signal may meet any call of ZeroMQ's; what was to be done is still ready.
      if (error.num() != EINTR) throw;
    }
  }
}

void EventLoop::turn() {
  try {
    sleep_([this] { zmq::poll(items_, time_to_sleep()); });
  } catch (const zmq::error_t& error) {
    if (error.num() != EINTR) log::error("poll: {}", error.what());
    return;
  }
  for (size_t i = 0; i < items_.size() && !stopped_; ++i)
    if (items_[i].revents != 0) callbacks_[i]();
  for (const auto& [waiting, ready] : waiting_)
    if (!stopped_ && waiting()) ready();
  if (!stopped_) run_timers();
}

}  // namespace furnace::protocol
