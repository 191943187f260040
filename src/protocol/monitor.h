// What happens to a socket's connections, for log and metrics: connected, lost, refused because of a key.
// What watches a socket must outlive it: an event that is not taken would block ZeroMQ's thread.
#pragma once

#include <functional>
#include <map>
#include <optional>
#include <string>
#include <zmq.hpp>

#include "base/limited_log.h"
#include "base/result.h"
#include "protocol/admission.h"

namespace furnace::protocol {

/// The end of a new monitor of `socket` where its events (a mask of ZMQ_EVENT_*) arrive, each as two frames:
/// number and value, address (zmq_socket_monitor(3)).
[[nodiscard]] Result<zmq::socket_t> monitor_of(zmq::context_t& context, zmq::socket_t& socket, int events);
/// What a first frame says.
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

/// What connects to a CURVE server: how many connections are open, and how many handshakes failed before its
/// allow-list was asked: peers that don't speak CURVE, that expect another server, or that repeat what they
/// have recorded of another peer's handshake. Of strangers, who are not let in yet, only a few connections
/// stay open.
class ServerConnections {
 public:
  static constexpr Admission::Limits kStrangers{64, 32};

  [[nodiscard]] static Result<ServerConnections> watch(zmq::context_t& context, zmq::socket_t& server);

  /// Connections that were let in, as of the last `handle`.
  [[nodiscard]] size_t let_in() const { return let_in_; }
  /// Strangers that were closed because there were too many.
  [[nodiscard]] uint64_t turned_away() const { return turned_away_; }
  [[nodiscard]] uint64_t failed() const { return failed_; }
  [[nodiscard]] zmq::socket_t& socket() { return socket_; }
  /// Counts what has come, and logs what failed by rate.
  void handle();
  /// Writes how many failures were left out of the log. Call it now and then.
  void tell_left_out() { failures_.tell_left_out(); }

 private:
  explicit ServerConnections(zmq::socket_t socket) : socket_(std::move(socket)) {}
  void note_failure();
  /// `endpoint`: the server's own, as ZeroMQ reports it.
  void accepted(uint32_t descriptor, std::string_view endpoint);
  /// Records strangers that were let in meanwhile: ZeroMQ reports that one was, and not which.
  void recognize();
  void left(uint32_t descriptor);

  zmq::socket_t socket_;
  Admission strangers_;
  std::map<uint32_t, std::optional<Source>> standing_;  // by descriptor; of a stranger: where it comes from
  size_t let_in_ = 0;
  uint64_t turned_away_ = 0;
  uint64_t failed_ = 0;
  log::Limited failures_{"strangers turned away, or without a handshake"};
};

}  // namespace furnace::protocol
