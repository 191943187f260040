// One thread's loop: sockets, descriptors and timers with callbacks.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <vector>
#include <zmq.hpp>

#include "base/fd.h"

namespace furnace::protocol {

class EventLoop {
 public:
  using Callback = std::function<void()>;

  /// Calls `ready` whenever the socket or descriptor has input. Both must outlive the loop. Returns a number
  /// for `pause`.
  size_t watch(zmq::socket_t& socket, Callback ready);
  size_t watch(int descriptor, Callback ready);
  /// Does not read a watched socket for a while: what comes waits there.
  void pause(size_t watched, bool paused) { items_[watched].events = paused ? 0 : ZMQ_POLLIN; }
  /// Calls `ready` at every turn at which `waiting()` is true, and doesn't sleep then: for what was read
  /// already.
  void watch(std::function<bool()> waiting, Callback ready) {
    waiting_.emplace_back(std::move(waiting), std::move(ready));
  }

  /// Calls `due` every `interval`; an interval of zero: at every turn of the loop. Returns the timer's
  /// number.
  uint64_t add_timer(std::chrono::duration<double> interval, Callback due);
  /// False if there is no such timer (any more).
  bool remove_timer(uint64_t timer) { return timers_.erase(timer) != 0; }

  /// Runs `work` in the loop's thread at its next turn. From any thread, after `take_posts`.
  void post(Callback work);
  [[nodiscard]] Status take_posts();

  /// How the loop sleeps: `sleep(wait)` must call `wait` once. For what others need while nothing happens
  /// here.
  void set_sleep(std::function<void(const Callback&)> sleep) { sleep_ = std::move(sleep); }

  /// Runs until `stop` is called; returns at once if it was called before.
  void run();
  /// From any thread, after `take_posts`.
  void stop();
  [[nodiscard]] bool stopped() const { return stopped_; }

 private:
  using Clock = std::chrono::steady_clock;
  struct Timer {
    Clock::duration interval;
    Clock::time_point due;
    Callback callback;
  };
  [[nodiscard]] std::chrono::milliseconds time_to_next_timer() const;
  void turn();
  void run_timers();
  [[nodiscard]] std::chrono::milliseconds time_to_sleep() const;

  void wake();
  void run_posts();

  struct Posts {
    Fd wake;  // an eventfd
    std::mutex mutex;
    std::vector<Callback> work;
  };
  std::unique_ptr<Posts> posts_;
  std::function<void(const Callback&)> sleep_ = [](const Callback& wait) { wait(); };
  std::vector<zmq::pollitem_t> items_;
  std::vector<Callback> callbacks_;
  std::vector<std::pair<std::function<bool()>, Callback>> waiting_;
  std::map<uint64_t, Timer> timers_;
  // Far from the numbers that the VMI partition gives to its events: both are 'event ids' to an app.
  uint64_t next_timer_ = 1'000'000'000;
  std::atomic<bool> stopped_ = false;
};

}  // namespace furnace::protocol
