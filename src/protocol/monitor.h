// What happens to a socket's connections, for log and metrics: connected, lost, refused because of a key.
#pragma once

#include <chrono>
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

/// Counts the handshakes that failed at a CURVE server before its allow-list was asked: peers that don't
/// speak CURVE, that expect another server, or that repeat what they have recorded of somebody else's
/// handshake.
class FailedHandshakes {
 public:
  [[nodiscard]] static Result<FailedHandshakes> watch(zmq::context_t& context, zmq::socket_t& server);

  [[nodiscard]] uint64_t count() const { return count_; }
  [[nodiscard]] zmq::socket_t& socket() { return socket_; }
  /// Counts what has come; one line of the log a second.
  void handle();

 private:
  explicit FailedHandshakes(zmq::socket_t socket) : socket_(std::move(socket)) {}

  zmq::socket_t socket_;
  uint64_t count_ = 0;
  std::chrono::steady_clock::time_point told_{};
};

}  // namespace furnace::protocol
