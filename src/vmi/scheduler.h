// Who is served next: every app has its own queue, and each gets a small slice in turn, whatever the others
// ask for.
#pragma once

#include <chrono>
#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <zmq.hpp>

#include "vmi/batch.h"

namespace furnace::vmi {

/// What one app may take.
struct Limits {
  uint32_t calls_per_second = 0;        ///< 0: no limit; a second's worth may come at once
  size_t outstanding_bytes = 16 << 20;  ///< of answers that it has not read: a partition has 64 MB in all
  size_t waiting_messages = 16;         ///< more are refused at once
};

/// An app's queue and the message that is being served.
struct Client {
  struct Waiting {
    zmq::message_t identity, body;
  };
  Session session;
  std::deque<Waiting> waiting;
  std::unique_ptr<BatchRun> running;
  zmq::message_t running_identity;
  Outstanding outstanding = std::make_shared<std::atomic<size_t>>(0);
  double tokens = 0;  ///< calls it may make now; negative after a large message
  std::chrono::steady_clock::time_point refilled{};
  bool throttled = false;  ///< waits for its rate of calls
  bool in_step = false;    ///< between two pieces of a read
};

class Scheduler {
 public:
  using Clock = std::chrono::steady_clock;
  /// Sends an answer that is complete.
  using Answer = std::function<void(Client&)>;

  explicit Scheduler(const Limits& limits) : limits_(limits) {}

  /// Gives each client that has work a slice, in turn; false if none has. `context` makes what a client's
  /// calls work on.
  template <typename MakeContext>
  bool run(std::map<std::string, Client, std::less<>>& clients, const Codecs& codecs,
           const std::shared_ptr<BufferPool>& pool, const MakeContext& context, const Answer& answer) {
    const auto now = Clock::now();
    bool worked = false;
    for (auto& [name, client] : clients) {
      if (!ready(client, now)) continue;
      worked = true;
      CallContext working = context(client);
      if (slice(client, codecs, pool, working)) answer(client);
    }
    return worked;
  }

  /// How long to wait for messages: zero while there is work; nullopt: for ever.
  [[nodiscard]] std::optional<std::chrono::milliseconds> wait(
      std::map<std::string, Client, std::less<>>& clients);

  [[nodiscard]] const Limits& limits() const { return limits_; }

 private:
  [[nodiscard]] bool ready(Client& client, Clock::time_point now);
  /// True when the client's message is done.
  bool slice(Client& client, const Codecs& codecs, const std::shared_ptr<BufferPool>& pool,
             CallContext& context);

  Limits limits_;
};

}  // namespace furnace::vmi
