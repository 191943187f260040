#include "vmi/calls/long_calls.h"

#include <algorithm>
#include <utility>

#include "guest/linux/task_walk.h"

namespace furnace::vmi {
namespace {

class LongRead : public LongCall {
 public:
  LongRead(const Place& place, size_t count) : place_(place), count_(count) {}

  [[nodiscard]] size_t fills() const override { return count_; }
  [[nodiscard]] std::optional<Reply> step(CallContext&, std::span<std::byte> room) override {
    constexpr size_t piece = 256 << 10;  // takes some 30 us
    const auto part = room.subspan(done_, std::min(piece, count_ - done_));
    const size_t got = place_.after(done_).read(part);
    done_ += got;
    if (done_ == count_) return Reply(Filled{});
    if (got == part.size()) return std::nullopt;
    Reply reply(std::string(reinterpret_cast<const char*>(room.data()), done_));
    reply.bytes = static_cast<int64_t>(done_);
    reply.error = place_.why_short(count_);
    return reply;
  }

 private:
  Place place_;
  size_t count_, done_ = 0;
};

class FindProcess : public LongCall {
 public:
  FindProcess(const guest::LinuxGuest& guest, guest::Pid pid, OnProcess then)
      : search_(guest, pid), then_(std::move(then)) {}

  [[nodiscard]] std::optional<Reply> step(CallContext& context, std::span<std::byte>) override {
    const auto found = search_.step(end_of_step());
    if (!found) return std::nullopt;
    return then_(context, *found);
  }

 private:
  guest::ProcessSearch search_;
  OnProcess then_;
};

class ListProcesses : public LongCall {
 public:
  ListProcesses(const guest::LinuxGuest& guest, OnProcesses then) : listing_(guest), then_(std::move(then)) {}

  [[nodiscard]] size_t holds() const override { return listing_.size(); }
  [[nodiscard]] std::optional<Reply> step(CallContext& context, std::span<std::byte>) override {
    auto found = listing_.step(end_of_step());
    if (!found) return std::nullopt;
    return then_(context, *std::move(found));
  }

 private:
  guest::ProcessListing listing_;
  OnProcesses then_;
};

}  // namespace

Reply read_in_steps(const Place& place, size_t count) {
  return Reply(std::make_unique<LongRead>(place, count));
}

Reply find_in_steps(const guest::LinuxGuest& guest, guest::Pid pid, OnProcess then) {
  return Reply(std::make_unique<FindProcess>(guest, pid, std::move(then)));
}

Reply list_in_steps(const guest::LinuxGuest& guest, OnProcesses then) {
  return Reply(std::make_unique<ListProcesses>(guest, std::move(then)));
}

}  // namespace furnace::vmi
