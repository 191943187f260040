// One thread's loop: sockets, descriptors and timers with callbacks.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <vector>
#include <zmq.hpp>

namespace furnace::protocol {

class EventLoop {
 public:
  using Callback = std::function<void()>;

  /// Calls `ready` whenever the socket or descriptor has input. Both must outlive the loop.
  void watch(zmq::socket_t& socket, Callback ready);
  void watch(int descriptor, Callback ready);

  /// Calls `due` every `interval`; an interval of zero: at every turn of the loop. Returns the timer's
  /// number.
  uint64_t add_timer(std::chrono::duration<double> interval, Callback due);
  /// False if there is no such timer (any more).
  bool remove_timer(uint64_t timer) { return timers_.erase(timer) != 0; }

  /// Runs until `stop` is called; returns at once if it was called before.
  void run();
  void stop() { stopped_ = true; }
  [[nodiscard]] bool stopped() const { return stopped_; }

 private:
  using Clock = std::chrono::steady_clock;
  struct Timer {
    Clock::duration interval;
    Clock::time_point due;
    Callback callback;
  };
  [[nodiscard]] std::chrono::milliseconds time_to_next_timer() const;
  void run_timers();

  std::vector<zmq::pollitem_t> items_;
  std::vector<Callback> callbacks_;
  std::map<uint64_t, Timer> timers_;
  // Far from the numbers that the VMI partition gives to its events: both are 'event ids' to an app.
  uint64_t next_timer_ = 1'000'000'000;
  bool stopped_ = false;
};

}  // namespace furnace::protocol
