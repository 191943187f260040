#include "vmi/scheduler.h"

#include <algorithm>
#include <utility>

namespace furnace::vmi {
namespace {

/// Long enough that looking at the socket in between costs little, short beside a round trip.
constexpr auto kSlice = std::chrono::microseconds(50);

}  // namespace

bool Scheduler::ready(Client& client, Clock::time_point now) {
  if (client.in_step) return false;
  if (client.running) return true;
  if (client.waiting.empty() || client.outstanding->load() > limits_.outstanding_bytes) return false;
  if (limits_.calls_per_second == 0) return true;
  const double rate = limits_.calls_per_second;
  const double fresh = std::chrono::duration<double>(now - client.refilled).count() * rate;
  client.tokens = std::min(rate, client.tokens + fresh);
  client.refilled = now;
  const bool was_throttled = std::exchange(client.throttled, client.tokens < 1);
  if (client.throttled && !was_throttled) ++client.session.counters.throttled;
  return !client.throttled;
}

bool Scheduler::slice(Client& client, const Codecs& codecs, const std::shared_ptr<BufferPool>& pool,
                      CallContext& context) {
  if (!client.running) {
    Client::Waiting next = std::move(client.waiting.front());
    client.waiting.pop_front();
    client.running_identity = std::move(next.identity);
    client.running =
        std::make_unique<BatchRun>(codecs, std::span(next.body.data<std::byte>(), next.body.size()), pool);
  }
  const auto start = Clock::now();
  const uint64_t calls_before = client.session.counters.calls;
  client.in_step = true;
  const bool done = client.running->step(context, start + kSlice);
  client.in_step = false;
  client.session.counters.busy_ns += static_cast<uint64_t>((Clock::now() - start).count());
  if (limits_.calls_per_second != 0)
    client.tokens -= static_cast<double>(client.session.counters.calls - calls_before);
  return done;
}

std::optional<std::chrono::milliseconds> Scheduler::wait(
    std::map<std::string, Client, std::less<>>& clients) {
  const auto now = Clock::now();
  bool held_back = false;
  for (auto& [name, client] : clients) {
    if (ready(client, now)) return std::chrono::milliseconds(0);
    held_back = held_back || !client.waiting.empty();
  }
  // Neither the end of a rate's second nor an answer that is read makes a descriptor ready.
  if (held_back) return std::chrono::milliseconds(5);
  return std::nullopt;
}

}  // namespace furnace::vmi
