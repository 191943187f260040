#include "backend/workers.h"

namespace furnace::backend {

Workers::Workers(unsigned threads) {
  for (unsigned i = 0; i < threads; ++i) threads_.emplace_back([this] { work(); });
}

Workers::~Workers() {
  {
    const std::lock_guard lock(mutex_);
    ends_ = true;
  }
  more_.notify_all();
  for (std::thread& thread : threads_) thread.join();
}

void Workers::add(const std::string& app, Job job) {
  {
    const std::lock_guard lock(mutex_);
    Queue& queue = queues_[app];
    queue.jobs.push_back(std::move(job));
    ++unfinished_;
    if (queue.is_ready) return;
    queue.is_ready = true;
    ready_.push_back(app);
  }
  more_.notify_one();
}

size_t Workers::unfinished() const {
  const std::lock_guard lock(mutex_);
  return unfinished_;
}

void Workers::work() {
  std::unique_lock lock(mutex_);
  while (true) {
    more_.wait(lock, [this] { return ends_ || !ready_.empty(); });
    if (ends_) return;
    const std::string app = std::move(ready_.front());
    ready_.pop_front();
    const auto queue = queues_.find(app);
    const Job job = std::move(queue->second.jobs.front());
    queue->second.jobs.pop_front();
    lock.unlock();
    job();
    lock.lock();
    --unfinished_;
    // To the end of the line: apps take turns.
    if (!queue->second.jobs.empty()) {
      ready_.push_back(app);
      more_.notify_one();
    } else {
      queues_.erase(queue);
    }
  }
}

}  // namespace furnace::backend
