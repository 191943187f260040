// The VMI partition's socket: takes calls of many apps, answers each exactly once, and notifies them of
// events.
#pragma once

#include <map>
#include <string>

#include "base/limited_log.h"
#include "base/message_counter.h"
#include "vmi/calls/batch.h"
#include "vmi/endpoints.h"
#include "vmi/events/events.h"
#include "vmi/metrics.h"
#include "vmi/scheduler.h"

namespace furnace::vmi {

struct ServerOptions {
  Limits limits;
  std::chrono::milliseconds watchdog{1000};                                 ///< of SYNC events
  std::map<std::string, std::chrono::milliseconds, std::less<>> watchdogs;  ///< of apps that have another
  Forbidden forbidden;
  std::optional<bool>
      watched_writes;   ///< events of the kernel by writes, or by breakpoints; otherwise the driver chooses
  std::string metrics;  ///< path of a socket that shows counters; empty: none
  int metrics_descriptor = -1;  ///< such a socket, bound by another process
  int counter = -1;             ///< descriptor of a MessageCounter
};

class Server {
 public:
  /// Binds ipc://`directory`/vmi_rtr, and the sockets of apps below it. Errc::Unavailable if another VMI
  /// partition serves there.
  [[nodiscard]] static Result<std::unique_ptr<Server>> bind(const std::string& directory, Machine& machine,
                                                            const ServerOptions& options = {});
  Server(const Server&) = delete;
  Server& operator=(const Server&) = delete;

  ~Server();

  /// Serves until `stop` becomes readable (returns true) or the machine can't be served any longer (returns
  /// false; see Machine::reason).
  bool run(int stop);

  // For a program that has a loop of its own:

  /// Does what there is to do, one turn of it, and doesn't wait.
  enum class Turn : uint8_t { Busy, Idle, Gone };
  [[nodiscard]] Turn turn() { return turn(false); }
  /// What to watch for reading while idle.
  [[nodiscard]] std::vector<int> descriptors() const;
  /// How long there is nothing to do unless one of them is ready; negative: without a limit.
  [[nodiscard]] std::chrono::milliseconds time_to_wait();
  /// Delivers what the driver has seen, at once.
  void deliver_events() { events_.dispatch(); }

  [[nodiscard]] uint64_t dropped() const { return dropped_; }

 private:
  Server(Machine& machine, const ServerOptions& options);

  [[nodiscard]] Turn turn(bool may_wait);
  void look_around();
  void answer_the_last();
  void receive(const zmtp::Peer& peer, zmtp::Message message);
  [[nodiscard]] bool admits(const zmtp::Peer& peer);
  void refuse(const zmtp::Peer& peer, protocol::BatchError why);
  struct Watched;
  void watch(int stop);
  /// Serves every client a slice; false: there was nothing to do.
  bool serve();
  void send_answer(Client& client);
  [[nodiscard]] bool send_event(const Session& owner, const std::string& identity,
                                const wire::VmiMessage& message);
  void mark_departed(const zmtp::Peer& peer);
  /// `served`: there may be more to do of what they asked before they left.
  void forget_departed(bool served);
  void close_slow_reader();
  [[nodiscard]] CallContext context(Client& client);
  [[nodiscard]] Client& client(const zmtp::Peer& peer);

  Machine& machine_;
  Codecs codecs_;
  Pauses pauses_;
  Events events_;
  Scheduler scheduler_;
  Forbidden forbidden_;
  std::shared_ptr<BufferPool> pool_ = std::make_shared<BufferPool>();
  Clients clients_;
  std::unique_ptr<zmtp::Server> sockets_;
  std::optional<Endpoints> endpoints_;
  bool any_departed_ = false;  // a client's connection has ended, and it is not forgotten yet
  std::optional<MetricsSocket> metrics_;
  MessageCounter counter_;
  std::unique_ptr<Watched> watched_;
  unsigned busy_turns_ = 0;
  uint64_t dropped_ = 0;
  log::Limited refusals_{"messages of who is not the app of a socket"};
};

}  // namespace furnace::vmi
