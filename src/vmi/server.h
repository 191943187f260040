// The VMI partition's socket: takes calls of many apps, answers each exactly once, tells them of events.
#pragma once

#include <map>
#include <string>
#include <zmq.hpp>

#include "base/fd.h"
#include "protocol/framing.h"
#include "vmi/batch.h"
#include "vmi/events.h"
#include "vmi/metrics.h"
#include "vmi/scheduler.h"

namespace furnace::vmi {

struct ServerOptions {
  Limits limits;
  std::chrono::milliseconds watchdog{1000};  ///< of SYNC events
  std::string metrics;                       ///< path of a socket that shows counters; empty: none
};

class Server {
 public:
  /// Binds ipc://`directory`/vmi_rtr. Errc::Unavailable if another VMI partition serves there.
  [[nodiscard]] static Result<std::unique_ptr<Server>> bind(zmq::context_t& context,
                                                            const std::string& directory, Machine& machine,
                                                            const ServerOptions& options = {});
  Server(const Server&) = delete;
  Server& operator=(const Server&) = delete;

  /// Serves until `stop` becomes readable or the VM is gone. True for the first.
  bool run(int stop);

  [[nodiscard]] uint64_t dropped() const { return dropped_; }

 private:
  Server(zmq::socket_t router, zmq::socket_t monitor, Fd lock, Machine& machine,
         const ServerOptions& options);

  [[nodiscard]] std::chrono::milliseconds time_to_wait();
  void receive_calls();
  void enqueue(protocol::Frames& frames);
  struct Watched;
  /// Serves every client a slice; false: there was nothing to do.
  bool serve();
  void send_answer(Client& client);
  void notice_departures();
  [[nodiscard]] CallContext context(Client& client, bool may_breathe);
  [[nodiscard]] Client& client(std::string_view identity, int connection);

  zmq::socket_t router_;
  zmq::socket_t monitor_;
  Fd lock_;
  Machine& machine_;
  Codecs codecs_;
  PauseCount pauses_;
  Events events_;
  Scheduler scheduler_;
  std::shared_ptr<BufferPool> pool_ = std::make_shared<BufferPool>();
  std::map<std::string, Client, std::less<>> clients_;
  std::optional<MetricsSocket> metrics_;
  uint64_t dropped_ = 0;
};

}  // namespace furnace::vmi
