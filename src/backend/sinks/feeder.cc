#include "backend/sinks/feeder.h"

#include <algorithm>
#include <vector>

#include "base/log.h"

namespace furnace::backend {
namespace {

constexpr size_t kMaxWaiting = 10'000;
constexpr size_t kMaxBytes = 64 << 20;
constexpr size_t kBatch = 100;
constexpr std::chrono::milliseconds kFirstPause(200), kLongestPause(30'000);

}  // namespace

Feeder::Feeder(std::string name, std::unique_ptr<Sink> sink)
    : name_(std::move(name)), sink_(std::move(sink)) {
  thread_ = std::thread([this] { feed(); });
}

Feeder::~Feeder() {
  {
    const std::lock_guard lock(mutex_);
    ends_ = true;
  }
  more_.notify_all();
  thread_.join();
}

void Feeder::add(const Message& message) {
  {
    const std::lock_guard lock(mutex_);
    if (waiting_.size() >= kMaxWaiting || bytes_ + message.content.size() > kMaxBytes) {
      if (dropped_++ == 0)
        log::warning("sink {}: it does not keep up: messages are left out from now on", name_);
      return;
    }
    bytes_ += message.content.size();
    waiting_.push_back(message);
  }
  more_.notify_one();
}

void Feeder::feed() {
  auto pause = kFirstPause;
  std::vector<Message> batch;
  std::unique_lock lock(mutex_);
  while (true) {
    if (batch.empty()) more_.wait(lock, [this] { return ends_ || !waiting_.empty(); });
    while (batch.size() < kBatch && !waiting_.empty()) {
      bytes_ -= waiting_.front().content.size();
      batch.push_back(std::move(waiting_.front()));
      waiting_.pop_front();
    }
    if (batch.empty()) return;  // it ends
    const bool last_try = ends_;
    lock.unlock();
    const Status done = sink_->write(batch);
    lock.lock();
    if (done) {
      stored_ += batch.size();
      batch.clear();
      pause = kFirstPause;
      continue;
    }
    if (failures_++ == 0 || pause == kLongestPause)
      log::warning("sink {}: {}; trying again", name_, done.error().message());
    if (last_try) {
      dropped_ += batch.size() + waiting_.size();
      return log::warning("sink {}: {} messages were not stored: {}", name_, batch.size() + waiting_.size(),
                          done.error().message());
    }
    more_.wait_for(lock, pause, [this] { return ends_; });
    pause = std::min(pause * 2, kLongestPause);
  }
}

}  // namespace furnace::backend
