// Descriptors and what to do when they are ready: for thousands of them, each change reported once
// (edge-triggered epoll).
#pragma once

#include <chrono>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <unordered_map>

#include "base/fd.h"

namespace furnace::proxy {

class Poller {
 public:
  /// What became ready since the last time.
  struct Ready {
    bool readable = false, writable = false;
  };
  using Handler = std::function<void(Ready)>;
  using Task = std::function<void()>;

  [[nodiscard]] static Result<Poller> make();

  /// The descriptor must be removed before it is closed.
  [[nodiscard]] Status add(int descriptor, Handler handler);
  void remove(int descriptor);

  /// Runs `task` at the next turn, after what became ready until then. `owner` is for `forget`.
  void defer(const void* owner, Task task) { deferred_.emplace_back(owner, std::move(task)); }
  /// The same at a time.
  void at(std::chrono::steady_clock::time_point time, const void* owner, Task task);
  /// Removes what `owner` had deferred.
  void forget(const void* owner);

  /// Waits and handles, once.
  void turn();

 private:
  explicit Poller(Fd epoll) : epoll_(std::move(epoll)) {}
  [[nodiscard]] int time_to_wait() const;

  Fd epoll_;
  std::unordered_map<int, std::shared_ptr<Handler>> handlers_;
  std::deque<std::pair<const void*, Task>> deferred_;
  std::multimap<std::chrono::steady_clock::time_point, std::pair<const void*, Task>> timed_;
};

}  // namespace furnace::proxy
