#include "protocol/monitor.h"

#include <fcntl.h>
#include <linux/tcp.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <zmq.h>

#include <chrono>

#include "base/bytes.h"
#include "base/fd.h"
#include "base/log.h"
#include "protocol/framing.h"
#include "protocol/greeting.h"

namespace furnace::protocol {
namespace {

constexpr int kFailures = ZMQ_EVENT_HANDSHAKE_FAILED_PROTOCOL | ZMQ_EVENT_HANDSHAKE_FAILED_NO_DETAIL;

/// One end's address, by getpeername or getsockname; of no family if there is none.
sockaddr_storage address_of(const Fd& socket, int (*ask)(int, sockaddr*, socklen_t*)) {
  sockaddr_storage address{};
  socklen_t size = sizeof address;
  ask(socket.get(), reinterpret_cast<sockaddr*>(&address), &size);  // NOLINT: sockets
  return address;
}

/// The port is in the same place in IPv4 and IPv6.
uint16_t port_of(const sockaddr_storage& address) {
  const bool has_port = address.ss_family == AF_INET || address.ss_family == AF_INET6;
  return has_port ? ntohs(reinterpret_cast<const sockaddr_in&>(address).sin_port) : 0;  // NOLINT: sockets
}

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
  FURNACE_TRY(zmq::socket_t monitor, monitor_of(context, server,
                                                kFailures | ZMQ_EVENT_ACCEPTED |
                                                    ZMQ_EVENT_HANDSHAKE_SUCCEEDED | ZMQ_EVENT_DISCONNECTED));
  return ServerConnections(std::move(monitor));
}

void ServerConnections::handle() {
  while (const auto frames = receive(socket_)) {
    const auto [event, descriptor] = monitored_event(frames->front());
    if (event == ZMQ_EVENT_ACCEPTED) {
      accepted(descriptor, text(frames->back()));
    } else if (event == ZMQ_EVENT_DISCONNECTED) {
      left(descriptor);
    } else if (event != ZMQ_EVENT_HANDSHAKE_SUCCEEDED) {
      note_failure();
    }
  }
  recognize();
}

void ServerConnections::accepted(uint32_t descriptor, std::string_view endpoint) {
  left(descriptor);
  // ZeroMQ's thread may have closed it meanwhile, and another file may have its number: what is looked at and
  // shut down is one and the same, by a descriptor of our own.
  const Fd connection(::fcntl(static_cast<int>(descriptor), F_DUPFD_CLOEXEC, 0));
  const Source source = source_of(address_of(connection, ::getpeername));
  bool enters = strangers_.enter(source, kStrangers);
  if (!enters) {
    recognize();
    enters = strangers_.enter(source, kStrangers);
  }
  if (enters) {
    standing_[descriptor] = source;
    return;
  }
  ++turned_away_;
  failures_.warning("turned a stranger away: {} wait to be let in, or {} from one address", kStrangers.all,
                    kStrangers.of_one_source);
  const auto own = address_of(connection, ::getsockname);
  if (port_of(own) != 0 && endpoint.ends_with(fmt::format(":{}", port_of(own))))
    ::shutdown(connection.get(), SHUT_RDWR);
}

void ServerConnections::recognize() {
  for (auto& [descriptor, source] : standing_) {
    if (!source) continue;
    tcp_info info{};
    socklen_t size = sizeof info;
    if (::getsockopt(static_cast<int>(descriptor), IPPROTO_TCP, TCP_INFO, &info, &size) != 0 ||
        info.tcpi_bytes_sent <= kBeforeReady)
      continue;
    strangers_.leave(*source);
    source.reset();
    ++let_in_;
  }
}

void ServerConnections::left(uint32_t descriptor) {
  const auto found = standing_.find(descriptor);
  if (found == standing_.end()) return;
  if (found->second) {
    strangers_.leave(*found->second);
  } else {
    --let_in_;
  }
  standing_.erase(found);
}

void ServerConnections::note_failure() {
  ++failed_;
  failures_.warning(
      "a peer's handshake failed ({} so far): it does not speak CURVE, has another server key, or repeats a "
      "recorded one",
      failed_);
}

}  // namespace furnace::protocol
