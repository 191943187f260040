// Who is served next: every app has its own queue, and each gets a small slice in turn, whatever the others
// ask for.
#pragma once

#include <chrono>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <vector>

#include "vmi/calls/answer_room.h"
#include "vmi/calls/batch.h"
#include "zmtp/message.h"

namespace furnace::vmi {

/// What one app may take.
struct Limits {
  uint32_t calls_per_second = 0;        ///< 0: no limit; a second's worth may come at once
  size_t outstanding_bytes = 16 << 20;  ///< of answers that it has not read: a partition has 64 MB in all
  size_t waiting_messages = 16;         ///< more are refused at once
};

/// An app's queue and the message that is being served.
struct Client {
  Session session;
  std::deque<zmtp::Message> waiting;
  std::unique_ptr<BatchRun> running;
  std::vector<zmtp::Held> running_held;  ///< what the message takes that is being served
  zmtp::Count outstanding = std::make_shared<size_t>(0);
  double tokens = 0;  ///< calls it may make now; negative after a large message
  std::chrono::steady_clock::time_point refilled{};
  bool throttled = false;  ///< waits for its rate of calls
  bool departed = false;   ///< its connection has ended

  /// Whether there is something to do for it, sooner or later.
  [[nodiscard]] bool has_work() const { return running || !waiting.empty(); }
  [[nodiscard]] bool in_long_call() const { return running && running->in_long_call(); }
};
/// All that are connected, by the numbers of their connections.
using Clients = std::map<uint64_t, Client>;

class Scheduler {
 public:
  using Clock = std::chrono::steady_clock;
  /// Sends an answer that is complete.
  using Answer = std::function<void(Client&)>;

  explicit Scheduler(const Limits& limits) : limits_(limits) {}

  /// Gives each client that has work a slice, in turn; false if none has. `context` makes what a client's
  /// calls work on.
  template <typename MakeContext>
  bool run(Clients& clients, const Codecs& codecs, const std::shared_ptr<BufferPool>& pool,
           const MakeContext& context, const Answer& answer) {
    const auto now = Clock::now();
    answers_.set_apps(clients.size());
    bool worked = false;
    for (auto& [number, client] : clients) {
      if (!ready(client, now)) continue;
      worked = true;
      CallContext working = context(client);
      if (slice(client, codecs, pool, working)) answer(client);
    }
    return worked;
  }

  /// How long to wait for messages: zero while there is work; nullopt: without a limit.
  [[nodiscard]] std::optional<std::chrono::milliseconds> wait(Clients& clients);

  /// Whether a message of this client would be run at once.
  [[nodiscard]] bool is_idle(Client& client);
  /// Call before a client goes.
  void forget(const Client& client) { answers_.forget(client); }
  /// A client whose large answer others have waited for too long to have room themselves.
  [[nodiscard]] const Client* slow_reader() { return answers_.slow_reader(Clock::now()); }

  [[nodiscard]] const Limits& limits() const { return limits_; }

 private:
  [[nodiscard]] bool ready(Client& client, Clock::time_point now);
  [[nodiscard]] bool reads_answers(const Client& client) const;
  /// Its rate of calls allows one now.
  [[nodiscard]] bool has_tokens(Client& client, Clock::time_point now);
  void begin(Client& client, const Codecs& codecs, const std::shared_ptr<BufferPool>& pool);
  /// True when the client's message is done.
  bool slice(Client& client, const Codecs& codecs, const std::shared_ptr<BufferPool>& pool,
             CallContext& context);

  Limits limits_;
  AnswerRoom answers_;
};

}  // namespace furnace::vmi
