// What happens to a socket's connections, for the log: connected, lost, refused because of a key.
#pragma once

#include <string>
#include <zmq.hpp>

#include "base/result.h"

namespace furnace::protocol {

/// Logs the connection events of one CURVE client socket, each change once: a peer that refuses us again and
/// again is one line.
class ConnectionLog {
 public:
  /// `peer` names the other side in the lines.
  [[nodiscard]] static Result<ConnectionLog> watch(zmq::context_t& context, zmq::socket_t& socket,
                                                   std::string peer);

  [[nodiscard]] zmq::socket_t& socket() { return socket_; }
  void handle();

 private:
  ConnectionLog(zmq::socket_t socket, std::string peer)
      : socket_(std::move(socket)), peer_(std::move(peer)) {}

  zmq::socket_t socket_;
  std::string peer_;
  int last_ = 0;
};

}  // namespace furnace::protocol
