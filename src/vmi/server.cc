#include "vmi/server.h"

#include <zmq.h>

#include <algorithm>

#include "base/bytes.h"
#include "base/file.h"
#include "base/log.h"
#include "protocol/framing.h"

namespace furnace::vmi {
namespace {

constexpr const char* kMonitorAddress = "inproc://vmi-monitor";
constexpr int kCallsPerTurn = 64;  // before the loop looks at the hypervisor again

/// ZeroMQ's descriptor of the connection a message came over. Departures are reported by that number.
int connection_of(zmq::message_t& frame) {
  return zmq_msg_get(frame.handle(), ZMQ_SRCFD);
}

}  // namespace

Result<Server> Server::bind(zmq::context_t& context, const std::string& directory, Machine& machine) {
  FURNACE_TRY(const std::string address, protocol::ipc_address(directory, "vmi_rtr"));
  // ZeroMQ would take the socket's path over from its owner; the lock tells whether there is one.
  auto lock = lock_file(directory + "/vmi_rtr.lock");
  if (!lock && lock.error().code() == Errc::Unavailable)
    return fail(Errc::Unavailable,
                "{}/vmi_rtr: another VMI partition serves there; stop it or choose another --vmi "
                "directory",
                directory);
  if (!lock) return fail(lock.error(), "socket directory");
  zmq::socket_t router(context, zmq::socket_type::router);
  protocol::set_common_options(router);
  if (zmq_socket_monitor(router.handle(), kMonitorAddress, ZMQ_EVENT_DISCONNECTED) != 0)
    return fail_errno("socket monitor");
  zmq::socket_t monitor(context, zmq::socket_type::pair);
  monitor.set(zmq::sockopt::linger, 0);
  FURNACE_CHECK(protocol::connect(monitor, kMonitorAddress));
  FURNACE_CHECK(protocol::bind(router, address));
  return Server(std::move(router), std::move(monitor), *std::move(lock), machine);
}

bool Server::run(int stop) {
  std::vector<zmq::pollitem_t> items{{nullptr, stop, ZMQ_POLLIN, 0},
                                     {router_.handle(), 0, ZMQ_POLLIN, 0},
                                     {monitor_.handle(), 0, ZMQ_POLLIN, 0}};
  constexpr size_t own_items = 3;
  while (true) {
    items.resize(own_items);
    for (const int descriptor : machine_.hypervisor().descriptors())
      items.push_back({nullptr, descriptor, ZMQ_POLLIN, 0});
    const auto ready = [](const zmq::pollitem_t& item) { return item.revents != 0; };
    try {
      zmq::poll(items);
    } catch (const zmq::error_t& error) {
      if (error.num() != EINTR) log::error("poll: {}", error.what());
      continue;
    }
    if (ready(items[0])) return true;
    if (std::any_of(items.begin() + own_items, items.end(), ready) && machine_.poll()) {
      serve_calls();  // who asked already gets an answer
      return false;
    }
    // Before calls: a new connection may have the descriptor of one whose end was not noticed yet.
    if (ready(items[2])) notice_departures();
    if (ready(items[1])) serve_calls();
  }
}

void Server::serve_calls() {
  for (int i = 0; i < kCallsPerTurn; ++i) {
    auto frames = protocol::receive(router_);
    if (!frames) return;
    answer(*frames);
  }
}

void Server::answer(protocol::Frames& frames) {
  const auto request = protocol::as_request(frames);
  if (!request) {
    ++dropped_;
    log::debug("dropped a message of {} frames that nobody awaits an answer to", frames.size());
    return;
  }
  wire::VmiMessage message;
  const zmq::message_t* body = request->body;
  const bool parsed = body != nullptr && !body->empty() &&
                      message.ParseFromArray(body->data(), static_cast<int>(body->size()));
  // Of the last frame: the first is the ROUTER's own.
  const int connection = connection_of(frames.back());
  Session& peer = session(request->identity, connection);
  CallContext context{machine_, peer, pauses_};
  const wire::VmiMessage reply = parsed ? execute_batch(context, codecs_, message) : malformed_answer();

  protocol::Frames out(3);
  out[0].move(frames[0]);
  out[2].rebuild(reply.ByteSizeLong());
  reply.SerializeWithCachedSizesToArray(out[2].data<uint8_t>());
  if (!protocol::send(router_, out)) ++dropped_;
}

Session& Server::session(std::string_view identity, int connection) {
  auto found = sessions_.find(identity);
  if (found == sessions_.end())
    found = sessions_
                .emplace(std::string(identity),
                         Session{.identity = printable(identity), .connection = connection})
                .first;
  found->second.connection = connection;
  return found->second;
}

void Server::notice_departures() {
  // Two frames: event (16 bit) and value (32 bit, here the descriptor); then the address
  // (zmq_socket_monitor(3)).
  while (const auto frames = protocol::receive(monitor_)) {
    const auto event = load<uint16_t>(as_bytes(protocol::text((*frames)[0])), 0);
    const auto descriptor = load<int32_t>(as_bytes(protocol::text((*frames)[0])), 2);
    if (event != ZMQ_EVENT_DISCONNECTED || !descriptor) continue;
    for (auto it = sessions_.begin(); it != sessions_.end();) {
      if (it->second.connection != *descriptor) {
        ++it;
        continue;
      }
      CallContext context{machine_, it->second, pauses_};
      release_pauses(context);
      it = sessions_.erase(it);
    }
  }
}

}  // namespace furnace::vmi
