// The VMI partition's socket: takes calls of many apps, answers each exactly once.
#pragma once

#include <map>
#include <string>
#include <zmq.hpp>

#include "base/fd.h"
#include "protocol/framing.h"
#include "vmi/batch.h"

namespace furnace::vmi {

class Server {
 public:
  /// Binds ipc://`directory`/vmi_rtr. Errc::Unavailable if another VMI partition serves there.
  [[nodiscard]] static Result<Server> bind(zmq::context_t& context, const std::string& directory,
                                           Machine& machine);

  /// Serves until `stop` becomes readable or the VM is gone. True for the first.
  bool run(int stop);

  [[nodiscard]] uint64_t dropped() const { return dropped_; }

 private:
  Server(zmq::socket_t router, zmq::socket_t monitor, Fd lock, Machine& machine)
      : router_(std::move(router)), monitor_(std::move(monitor)), lock_(std::move(lock)), machine_(machine) {}

  void serve_calls();
  void answer(protocol::Frames& frames);
  void notice_departures();
  [[nodiscard]] Session& session(std::string_view identity, int connection);

  zmq::socket_t router_;
  zmq::socket_t monitor_;
  Fd lock_;
  Machine& machine_;
  Codecs codecs_;
  std::map<std::string, Session, std::less<>> sessions_;
  PauseCount pauses_;
  uint64_t dropped_ = 0;
};

}  // namespace furnace::vmi
