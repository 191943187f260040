// Threads that run callbacks: those of one app one after the other, in order; those of different apps side by
// side.
#pragma once

#include <condition_variable>
#include <deque>
#include <functional>
#include <map>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

namespace furnace::backend {

class Workers {
 public:
  using Job = std::function<void()>;

  explicit Workers(unsigned threads);
  Workers(const Workers&) = delete;
  Workers& operator=(const Workers&) = delete;
  /// Waits for the jobs that run; those that wait are dropped.
  ~Workers();

  void add(const std::string& app, Job job);
  /// Jobs that wait or run.
  [[nodiscard]] size_t unfinished() const;

 private:
  struct Queue {
    std::deque<Job> jobs;
    bool is_ready = false;  // in ready_, or in work
  };
  void work();

  mutable std::mutex mutex_;
  std::condition_variable more_;
  std::map<std::string, Queue> queues_;
  std::deque<std::string> ready_;  // apps that have a job and none in work
  size_t unfinished_ = 0;
  bool ends_ = false;
  std::vector<std::thread> threads_;
};

}  // namespace furnace::backend
