// Feeds a sink from a thread of its own: what it can't store yet waits, and what waits is bounded.
#pragma once

#include <atomic>
#include <condition_variable>
#include <deque>
#include <memory>
#include <mutex>
#include <string>
#include <thread>

#include "backend/sinks/sink.h"

namespace furnace::backend {

class Feeder {
 public:
  /// `name` for log and metrics.
  Feeder(std::string name, std::unique_ptr<Sink> sink);
  Feeder(const Feeder&) = delete;
  Feeder& operator=(const Feeder&) = delete;
  /// Tries once more to store what waits.
  ~Feeder();

  /// Takes a message; one that finds too many waiting is dropped, and counted.
  void add(const Message& message);

  [[nodiscard]] const std::string& name() const { return name_; }
  [[nodiscard]] uint64_t stored() const { return stored_; }
  [[nodiscard]] uint64_t dropped() const { return dropped_; }
  [[nodiscard]] uint64_t failures() const { return failures_; }

 private:
  void feed();

  std::string name_;
  std::unique_ptr<Sink> sink_;
  std::mutex mutex_;
  std::condition_variable more_;
  std::deque<Message> waiting_;
  size_t bytes_ = 0;
  bool ends_ = false;
  std::atomic<uint64_t> stored_ = 0, dropped_ = 0, failures_ = 0;
  std::thread thread_;
};

}  // namespace furnace::backend
