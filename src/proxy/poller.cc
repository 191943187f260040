#include "proxy/poller.h"

#include <sys/epoll.h>

#include <algorithm>
#include <array>
#include <memory>

namespace furnace::proxy {

using Clock = std::chrono::steady_clock;

Result<Poller> Poller::make() {
  Fd epoll(::epoll_create1(EPOLL_CLOEXEC));
  if (!epoll.valid()) return fail_errno("epoll");
  return Poller(std::move(epoll));
}

Status Poller::add(int descriptor, Handler handler) {
  epoll_event event{};
  event.events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET;
  event.data.fd = descriptor;
  if (::epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, descriptor, &event) != 0) return fail_errno("epoll");
  handlers_[descriptor] = std::make_shared<Handler>(std::move(handler));
  return {};
}

void Poller::remove(int descriptor) {
  ::epoll_ctl(epoll_.get(), EPOLL_CTL_DEL, descriptor, nullptr);
  handlers_.erase(descriptor);
}

void Poller::at(Clock::time_point time, const void* owner, Task task) {
  timed_.emplace(time, std::pair(owner, std::move(task)));
}

void Poller::forget(const void* owner) {
  std::erase_if(deferred_, [&](const auto& each) { return each.first == owner; });
  std::erase_if(timed_, [&](const auto& each) { return each.second.first == owner; });
}

int Poller::time_to_wait() const {
  if (!deferred_.empty()) return 0;
  if (timed_.empty()) return -1;
  const auto left =
      std::chrono::ceil<std::chrono::milliseconds>(timed_.begin()->first - Clock::now()).count();
  return static_cast<int>(std::clamp<int64_t>(left, 0, 60'000));
}

void Poller::turn() {
  std::array<epoll_event, 256> events;
  const int count = ::epoll_wait(epoll_.get(), events.data(), events.size(), time_to_wait());
  for (int i = 0; i < count; ++i) {
    const auto found = handlers_.find(events[i].data.fd);  // one before may have removed it
    if (found == handlers_.end()) continue;
    const auto handler = found->second;
    const uint32_t ready = events[i].events;
    (*handler)({(ready & (EPOLLIN | EPOLLRDHUP | EPOLLHUP | EPOLLERR)) != 0,
                (ready & (EPOLLOUT | EPOLLHUP | EPOLLERR)) != 0});
  }
  // What these defer comes at the next turn. One that is forgotten meanwhile must not run: they are taken one
  // by one.
  for (size_t left = deferred_.size(); left > 0 && !deferred_.empty(); --left) {
    const Task task = std::move(deferred_.front().second);
    deferred_.pop_front();
    task();
  }
  while (!timed_.empty() && timed_.begin()->first <= Clock::now()) {
    const Task task = std::move(timed_.begin()->second.second);
    timed_.erase(timed_.begin());
    task();
  }
}

}  // namespace furnace::proxy
