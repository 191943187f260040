#include "protocol/monitor.h"

#include <zmq.h>

#include <chrono>

#include "base/bytes.h"
#include "base/log.h"
#include "protocol/framing.h"

namespace furnace::protocol {
namespace {

constexpr int kFailures = ZMQ_EVENT_HANDSHAKE_FAILED_PROTOCOL | ZMQ_EVENT_HANDSHAKE_FAILED_NO_DETAIL;

}  // namespace

Result<zmq::socket_t> monitor_of(zmq::context_t& context, zmq::socket_t& socket, int events) {
  // The time makes it a name of its own: a socket that was just closed may have had this one's handle.
  const std::string address = fmt::format("inproc://monitor-{}-{}", socket.handle(),
                                          std::chrono::steady_clock::now().time_since_epoch().count());
  if (zmq_socket_monitor(socket.handle(), address.c_str(), events) != 0) return fail_errno("socket monitor");
  zmq::socket_t monitor(context, zmq::socket_type::pair);
  monitor.set(zmq::sockopt::linger, 0);
  FURNACE_CHECK(connect(monitor, address));
  return monitor;
}

MonitoredEvent monitored_event(const zmq::message_t& frame) {
  const auto bytes = as_bytes(text(frame));
  return {load<uint16_t>(bytes, 0).value_or(0), load<uint32_t>(bytes, sizeof(uint16_t)).value_or(0)};
}

Result<ConnectionLog> ConnectionLog::watch(zmq::context_t& context, zmq::socket_t& socket, std::string peer,
                                           Handlers handlers) {
  FURNACE_TRY(zmq::socket_t monitor,
              monitor_of(context, socket,
                         kFailures | ZMQ_EVENT_HANDSHAKE_SUCCEEDED | ZMQ_EVENT_HANDSHAKE_FAILED_AUTH |
                             ZMQ_EVENT_DISCONNECTED));
  return ConnectionLog(std::move(monitor), std::move(peer), std::move(handlers));
}

void ConnectionLog::handle() {
  while (const auto frames = receive(socket_)) {
    const int event = monitored_event(frames->front()).number;
    if (event == ZMQ_EVENT_HANDSHAKE_SUCCEEDED || event == ZMQ_EVENT_DISCONNECTED)
      is_connected_ = event == ZMQ_EVENT_HANDSHAKE_SUCCEEDED;
    if (event == ZMQ_EVENT_HANDSHAKE_SUCCEEDED) handlers_.connected();
    if ((event & kFailures) != 0 && handlers_.no_handshake) handlers_.no_handshake();
    if (event == last_) continue;
    const bool was_connected = last_ == ZMQ_EVENT_HANDSHAKE_SUCCEEDED;
    switch (event) {
      case ZMQ_EVENT_HANDSHAKE_SUCCEEDED:
        log::info("connected to the {}", peer_);
        break;
      case ZMQ_EVENT_DISCONNECTED:
        if (!was_connected) continue;
        log::warning("connection to the {} lost; trying again", peer_);
        break;
      case ZMQ_EVENT_HANDSHAKE_FAILED_AUTH:
        log::error("the {} refuses our key: it is not on its allow-list", peer_);
        break;
      default:
        log::error(
            "no handshake with the {}: wrong server key, no room for another connection, or no CURVE there",
            peer_);
        break;
    }
    last_ = event;
  }
}

Result<ServerConnections> ServerConnections::watch(zmq::context_t& context, zmq::socket_t& server) {
  FURNACE_TRY(zmq::socket_t monitor,
              monitor_of(context, server, kFailures | ZMQ_EVENT_ACCEPTED | ZMQ_EVENT_DISCONNECTED));
  return ServerConnections(std::move(monitor));
}

void ServerConnections::handle() {
  while (const auto frames = receive(socket_)) {
    const auto [event, descriptor] = monitored_event(frames->front());
    if (event == ZMQ_EVENT_ACCEPTED) {
      standing_.insert(descriptor);
    } else if (event == ZMQ_EVENT_DISCONNECTED) {
      standing_.erase(descriptor);
    } else {
      note_failure();
    }
  }
}

void ServerConnections::note_failure() {
  ++failed_;
  failures_.warning(
      "a peer's handshake failed ({} so far): it does not speak CURVE, has another server key, or repeats a "
      "recorded one",
      failed_);
}

}  // namespace furnace::protocol
