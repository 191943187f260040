// What happens to a socket's connections, for log and metrics: connected, lost, refused because of a key.
// What watches a socket must outlive it: an event that nobody takes would hold ZeroMQ's thread up.
#pragma once

#include <functional>
#include <set>
#include <string>
#include <zmq.hpp>

#include "base/limited_log.h"
#include "base/result.h"

namespace furnace::protocol {

/// The end of a new monitor of `socket` where its events (a mask of ZMQ_EVENT_*) arrive, each as two frames:
/// number and value, address (zmq_socket_monitor(3)).
[[nodiscard]] Result<zmq::socket_t> monitor_of(zmq::context_t& context, zmq::socket_t& socket, int events);
/// What a first frame tells.
struct MonitoredEvent {
  int number = 0;      ///< one of ZMQ_EVENT_*; 0: none
  uint32_t value = 0;  ///< a connection's descriptor, where the event is of one
};
[[nodiscard]] MonitoredEvent monitored_event(const zmq::message_t& frame);

/// Logs the connection events of one CURVE client socket, each change once: a peer that refuses us again and
/// again is one line.
class ConnectionLog {
 public:
  struct Handlers {
    std::function<void()> connected;     ///< at each connection
    std::function<void()> no_handshake;  ///< at each one that failed: the server may have another key
  };
  /// `peer` names the other side in the lines.
  [[nodiscard]] static Result<ConnectionLog> watch(zmq::context_t& context, zmq::socket_t& socket,
                                                   std::string peer, Handlers handlers);

  /// Whether a connection stood when `handle` was called last.
  [[nodiscard]] bool connected() const { return is_connected_; }

  [[nodiscard]] zmq::socket_t& socket() { return socket_; }
  void handle();

 private:
  ConnectionLog(zmq::socket_t socket, std::string peer, Handlers handlers)
      : socket_(std::move(socket)), peer_(std::move(peer)), handlers_(std::move(handlers)) {}

  zmq::socket_t socket_;
  std::string peer_;
  Handlers handlers_;
  int last_ = 0;
  bool is_connected_ = false;
};

/// What connects to a CURVE server: how many stand, and how many handshakes failed before its allow-list was
/// asked: peers that don't speak CURVE, that expect another server, or that repeat what they have recorded of
/// somebody else's handshake.
class ServerConnections {
 public:
  [[nodiscard]] static Result<ServerConnections> watch(zmq::context_t& context, zmq::socket_t& server);

  /// Connections as of the last `handle`, also those that are not let in yet.
  [[nodiscard]] size_t standing() const { return standing_.size(); }
  [[nodiscard]] uint64_t failed() const { return failed_; }
  [[nodiscard]] zmq::socket_t& socket() { return socket_; }
  /// Counts what has come, and logs what failed by rate.
  void handle();
  /// Writes how many failures were left out of the log. Call it now and then.
  void tell_left_out() { failures_.tell_left_out(); }

 private:
  explicit ServerConnections(zmq::socket_t socket) : socket_(std::move(socket)) {}
  void note_failure();

  zmq::socket_t socket_;
  std::set<uint32_t> standing_;  // their descriptors
  uint64_t failed_ = 0;
  log::Limited failures_{"failed handshakes"};
};

}  // namespace furnace::protocol
