// What happens to a socket's connections, for the log: connected, lost, refused because of a key.
#pragma once

#include <functional>
#include <string>
#include <zmq.hpp>

#include "base/result.h"

namespace furnace::protocol {

/// Logs the connection events of one CURVE client socket, each change once: a peer that refuses us again and
/// again is one line.
class ConnectionLog {
 public:
  /// `peer` names the other side in the lines. `connected` is called at each connection.
  [[nodiscard]] static Result<ConnectionLog> watch(zmq::context_t& context, zmq::socket_t& socket,
                                                   std::string peer, std::function<void()> connected = {});

  /// Whether a connection stood when `handle` was called last.
  [[nodiscard]] bool connected() const { return is_connected_; }

  [[nodiscard]] zmq::socket_t& socket() { return socket_; }
  void handle();

 private:
  ConnectionLog(zmq::socket_t socket, std::string peer, std::function<void()> on_connected)
      : socket_(std::move(socket)), peer_(std::move(peer)), on_connected_(std::move(on_connected)) {}

  zmq::socket_t socket_;
  std::string peer_;
  std::function<void()> on_connected_;
  int last_ = 0;
  bool is_connected_ = false;
};

}  // namespace furnace::protocol
