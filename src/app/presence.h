// Whether the partitions of an app are there. They are watched on a thread of its own, so that the end of
// one is noticed whatever the app does meanwhile.
#pragma once

#include <atomic>
#include <chrono>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>
#include <zmq.hpp>

#include "app/wait_reports.h"
#include "base/fd.h"
#include "base/result.h"

namespace furnace::app {

/// One partition, as the connection to it shows. All of it may be called from any thread.
class Presence {
 public:
  using Clock = WaitReports::Clock;
  struct Description {
    std::string partition;       ///< "VMI partition"
    std::string address;         ///< where it serves
    std::string meanwhile;       ///< what its absence means, for the log
    std::string advice;          ///< the way out, for the error
    std::chrono::seconds limit;  ///< one that is absent for this time counts as lost; 0: never
    bool for_good;               ///< the app depends on it: once connected it is needed, and a loss is final
  };
  explicit Presence(Description description) : of_(std::move(description)) {}

  /// Says that the app needs the partition: from now on its absence is reported and counts.
  void need() {
    if (!is_needed_.load(std::memory_order_relaxed)) begin_to_need();
  }
  /// Says where, how long and what to do about it, once the partition has been absent for too long.
  [[nodiscard]] std::optional<Error> gone() const;

  /// How often the connection was lost.
  [[nodiscard]] uint64_t losses() const { return losses_; }

  // For the watch:
  void set_wake(std::function<void()> wake) { wake_ = std::move(wake); }
  /// Returns true if the partition was there before, and is there again.
  bool note(bool is_connected);
  /// Logs an absence that is due to be reported.
  void report(Clock::time_point now);
  /// When there will be something to report or to decide.
  [[nodiscard]] std::optional<Clock::time_point> due() const;

 private:
  void begin_to_need();
  [[nodiscard]] Clock::duration absent_for(Clock::time_point now) const { return now - *absent_since_; }

  const Description of_;
  std::function<void()> wake_;
  std::atomic<bool> is_needed_ = false, is_there_ = false;
  std::atomic<uint64_t> losses_ = 0;
  mutable std::mutex mutex_;
  // Where the partition is needed and absent.
  std::optional<Clock::time_point> absent_since_;
  std::optional<WaitReports> reports_;
  bool is_reported_ = false;
  mutable std::optional<Error> gone_;
  mutable std::atomic<bool> is_gone_ = false;  // whether gone_ is set
};

/// A socket with a monitor. It ends the monitor before it closes, which ZeroMQ does later, on its own thread:
/// that would wait without a limit for a monitor that is no longer read.
class MonitoredSocket : public zmq::socket_t {
 public:
  using zmq::socket_t::socket_t;
  MonitoredSocket(MonitoredSocket&&) = default;
  MonitoredSocket& operator=(MonitoredSocket&&) = default;
  ~MonitoredSocket() {
    if (handle() != nullptr) zmq_socket_monitor(handle(), nullptr, 0);
  }
};

class PresenceWatch {
 public:
  [[nodiscard]] static Result<std::unique_ptr<PresenceWatch>> make();
  PresenceWatch(const PresenceWatch&) = delete;
  PresenceWatch& operator=(const PresenceWatch&) = delete;
  ~PresenceWatch() { stop(); }

  /// `monitor`: of the MonitoredSocket that is connected to the partition, made before it connected. It must
  /// outlive that socket, and so must this.
  void add(Presence& presence, zmq::socket_t monitor);
  struct Handlers {
    std::function<void()> back;     ///< called each time the first of those added is there again
    std::function<void()> gone;     ///< called once, when that one is lost
    std::function<void()> overdue;  ///< called when the process has not ended a while after that
  };
  /// All are called on the watch's thread.
  void start(Handlers handlers);
  void stop();

  /// How long the process may take to exit after a partition was lost.
  static constexpr std::chrono::seconds kTimeToEnd{10};

 private:
  using Clock = Presence::Clock;
  struct Watched {
    Presence* presence;
    zmq::socket_t monitor;
  };
  explicit PresenceWatch(Fd wake) : wake_(std::move(wake)) {}
  void run();
  void wake() const;
  void wait();
  void read_changes();
  void decide(Clock::time_point now);

  Fd wake_;  // an eventfd
  std::vector<Watched> watched_;
  Handlers handlers_;
  std::optional<Clock::time_point> gone_at_;
  std::atomic<bool> is_stopped_ = false;
  std::thread thread_;
};

}  // namespace furnace::app
