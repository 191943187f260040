#include "protocol/monitor.h"

#include <zmq.h>

#include "base/bytes.h"
#include "base/log.h"
#include "protocol/framing.h"

namespace furnace::protocol {
namespace {

constexpr int kFailures = ZMQ_EVENT_HANDSHAKE_FAILED_PROTOCOL | ZMQ_EVENT_HANDSHAKE_FAILED_NO_DETAIL;

/// The other end of a socket's monitor.
Result<zmq::socket_t> monitor_of(zmq::context_t& context, zmq::socket_t& socket, int events) {
  const std::string address = fmt::format("inproc://monitor-{}", socket.handle());
  if (zmq_socket_monitor(socket.handle(), address.c_str(), events) != 0) return fail_errno("socket monitor");
  zmq::socket_t monitor(context, zmq::socket_type::pair);
  monitor.set(zmq::sockopt::linger, 0);
  FURNACE_CHECK(connect(monitor, address));
  return monitor;
}

}  // namespace

Result<ConnectionLog> ConnectionLog::watch(zmq::context_t& context, zmq::socket_t& socket, std::string peer,
                                           std::function<void()> connected) {
  FURNACE_TRY(zmq::socket_t monitor,
              monitor_of(context, socket,
                         kFailures | ZMQ_EVENT_HANDSHAKE_SUCCEEDED | ZMQ_EVENT_HANDSHAKE_FAILED_AUTH |
                             ZMQ_EVENT_DISCONNECTED));
  return ConnectionLog(std::move(monitor), std::move(peer), std::move(connected));
}

void ConnectionLog::handle() {
  while (const auto frames = receive(socket_)) {
    const int event = load<uint16_t>(as_bytes(text(frames->front())), 0).value_or(0);
    if (event == ZMQ_EVENT_HANDSHAKE_SUCCEEDED || event == ZMQ_EVENT_DISCONNECTED)
      is_connected_ = event == ZMQ_EVENT_HANDSHAKE_SUCCEEDED;
    if (event == ZMQ_EVENT_HANDSHAKE_SUCCEEDED && on_connected_) on_connected_();
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
        log::error("no handshake with the {}: wrong server key, or the other side does not speak CURVE",
                   peer_);
        break;
    }
    last_ = event;
  }
}

Result<FailedHandshakes> FailedHandshakes::watch(zmq::context_t& context, zmq::socket_t& server) {
  FURNACE_TRY(zmq::socket_t monitor, monitor_of(context, server, kFailures));
  return FailedHandshakes(std::move(monitor));
}

void FailedHandshakes::handle() {
  while (receive(socket_)) {
    ++count_;
    constexpr std::chrono::seconds between_lines(1);
    if (const auto now = std::chrono::steady_clock::now(); now - told_ > between_lines) {
      told_ = now;
      log::warning(
          "a peer's handshake failed ({} so far): it does not speak CURVE, has another server key, or "
          "repeats "
          "a recorded one",
          count_);
    }
  }
}

}  // namespace furnace::protocol
