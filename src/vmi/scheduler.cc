#include "vmi/scheduler.h"

#include <algorithm>
#include <utility>

namespace furnace::vmi {
namespace {

/// Long enough that looking at the socket in between costs little, short beside a round trip.
constexpr auto kSlice = std::chrono::microseconds(50);

/// A message of that size is parsed to as much again, and its answer comes on top: one at a time.
constexpr size_t kLargeMessage = 256 << 10;

size_t body_size(const zmtp::Message& message) {
  return message.parts.empty() ? 0 : message.parts.back().size();
}

}  // namespace

bool Scheduler::reads_answers(const Client& client) const {
  const size_t most = answers_.has(client) ? kMaxAnswerBytes : answers_.share();
  return *client.outstanding <= std::min(limits_.outstanding_bytes, most);
}

bool Scheduler::has_tokens(Client& client, Clock::time_point now) {
  if (limits_.calls_per_second == 0) return true;
  const double rate = limits_.calls_per_second;
  const double fresh = std::chrono::duration<double>(now - client.refilled).count() * rate;
  client.tokens = std::min(rate, client.tokens + fresh);
  client.refilled = now;
  return client.tokens >= 1;
}

bool Scheduler::is_idle(Client& client) {
  return !client.has_work() && reads_answers(client) && has_tokens(client, Clock::now());
}

bool Scheduler::ready(Client& client, Clock::time_point now) {
  if (client.running) return !client.running->wants_room() || answers_.take(client);
  if (client.waiting.empty() || !reads_answers(client)) return false;
  const bool was_throttled = std::exchange(client.throttled, !has_tokens(client, now));
  if (client.throttled && !was_throttled) ++client.session.counters.throttled;
  if (client.throttled) return false;
  return body_size(client.waiting.front()) <= kLargeMessage || answers_.take(client);
}

void Scheduler::begin(Client& client, const Codecs& codecs, const std::shared_ptr<BufferPool>& pool) {
  zmtp::Message next = std::move(client.waiting.front());
  client.waiting.pop_front();
  // What it takes counts until its answer is made: its parsed form is as large.
  client.running_held = std::move(next.held);
  const std::span<const std::byte> body =
      next.parts.empty() ? std::span<const std::byte>() : next.parts.back().bytes();
  client.running = std::make_unique<BatchRun>(codecs, body, pool);
}

bool Scheduler::slice(Client& client, const Codecs& codecs, const std::shared_ptr<BufferPool>& pool,
                      CallContext& context) {
  if (!client.running) begin(client, codecs, pool);
  client.running->set_room(answers_.has(client) ? kMaxAnswerBytes : answers_.share());
  const auto start = Clock::now();
  const uint64_t calls_before = client.session.counters.calls;
  const bool done = client.running->step(context, start + kSlice);
  client.session.counters.busy_ns += static_cast<uint64_t>((Clock::now() - start).count());
  if (limits_.calls_per_second != 0)
    client.tokens -= static_cast<double>(client.session.counters.calls - calls_before);
  return done;
}

std::optional<std::chrono::milliseconds> Scheduler::wait(Clients& clients) {
  const auto now = Clock::now();
  bool held_back = false;
  for (auto& [number, client] : clients) {
    if (ready(client, now)) return std::chrono::milliseconds(0);
    held_back = held_back || client.has_work();
  }
  // Neither the end of a rate's second nor room for answers makes a descriptor ready.
  if (held_back) return std::chrono::milliseconds(5);
  return std::nullopt;
}

}  // namespace furnace::vmi
