#include "vmi/server.h"

#include <zmq.h>

#include <algorithm>

#include "base/bytes.h"
#include "base/file.h"
#include "base/log.h"

namespace furnace::vmi {
namespace {

constexpr const char* kMonitorAddress = "inproc://vmi-monitor";
constexpr int kMessagesPerTurn = 64;  // before what came is served

/// ZeroMQ's descriptor of the connection a message came over. Departures are reported by that number.
int connection_of(zmq::message_t& frame) {
  return zmq_msg_get(frame.handle(), ZMQ_SRCFD);
}

/// An answer that no call stands behind.
zmq::message_t refusal(protocol::BatchError error) {
  wire::VmiMessage answer;
  answer.set_error(true);
  answer.set_error_num(static_cast<int32_t>(error));
  answer.set_error_loc(0);
  const std::string body = answer.SerializeAsString();
  return {body.data(), body.size()};
}

}  // namespace

Server::Server(zmq::socket_t router, zmq::socket_t monitor, Fd lock, Machine& machine,
               const ServerOptions& options)
    : router_(std::move(router)),
      monitor_(std::move(monitor)),
      lock_(std::move(lock)),
      machine_(machine),
      events_(machine, pauses_),
      scheduler_(options.limits) {
  events_.set_watchdog(options.watchdog);
  events_.set_send([this](const std::string& identity, const wire::VmiMessage& message) {
    const std::string body = message.SerializeAsString();
    return protocol::send(router_, {identity, body});
  });
}

Result<std::unique_ptr<Server>> Server::bind(zmq::context_t& context, const std::string& directory,
                                             Machine& machine, const ServerOptions& options) {
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
  // Sending to a queue that is full, or to nobody, must not succeed: lost events are counted.
  router.set(zmq::sockopt::router_mandatory, true);
  if (zmq_socket_monitor(router.handle(), kMonitorAddress, ZMQ_EVENT_DISCONNECTED) != 0)
    return fail_errno("socket monitor");
  zmq::socket_t monitor(context, zmq::socket_type::pair);
  monitor.set(zmq::sockopt::linger, 0);
  FURNACE_CHECK(protocol::connect(monitor, kMonitorAddress));
  FURNACE_CHECK(protocol::bind(router, address));
  std::unique_ptr<Server> server(
      new Server(std::move(router), std::move(monitor), *std::move(lock), machine, options));
  if (!options.metrics.empty()) {
    FURNACE_TRY(auto metrics, MetricsSocket::bind(options.metrics));
    server->metrics_.emplace(std::move(metrics));
  }
  return server;
}

std::chrono::milliseconds Server::time_to_wait() {
  using std::chrono::milliseconds;
  std::optional<milliseconds> wait = scheduler_.wait(clients_);
  if (const auto deadline = events_.next_deadline()) {
    const auto left = std::chrono::ceil<milliseconds>(*deadline - std::chrono::steady_clock::now());
    wait = std::min(wait.value_or(milliseconds::max()), std::max(left, milliseconds(0)));
  }
  return wait.value_or(milliseconds(-1));
}

bool Server::run(int stop) {
  std::vector<zmq::pollitem_t> items{{nullptr, stop, ZMQ_POLLIN, 0},
                                     {router_.handle(), 0, ZMQ_POLLIN, 0},
                                     {monitor_.handle(), 0, ZMQ_POLLIN, 0}};
  if (metrics_) items.push_back({nullptr, metrics_->descriptor(), ZMQ_POLLIN, 0});
  const size_t own_items = items.size();
  while (true) {
    items.resize(own_items);
    for (const int descriptor : machine_.hypervisor().descriptors())
      items.push_back({nullptr, descriptor, ZMQ_POLLIN, 0});
    const auto ready = [](const zmq::pollitem_t& item) { return item.revents != 0; };
    try {
      zmq::poll(items, time_to_wait());
    } catch (const zmq::error_t& error) {
      if (error.num() != EINTR) log::error("poll: {}", error.what());
      continue;
    }
    if (ready(items[0])) return true;
    const bool from_hypervisor =
        std::any_of(items.begin() + static_cast<ptrdiff_t>(own_items), items.end(), ready);
    if (from_hypervisor && machine_.poll()) {
      receive_calls();
      while (scheduler_.wait(clients_) == std::chrono::milliseconds(0))
        serve();  // who asked already gets an answer
      return false;
    }
    if (from_hypervisor) events_.dispatch();
    events_.enforce_deadlines();
    // Before calls: a new connection may have the descriptor of one whose end was not noticed yet.
    if (ready(items[2])) notice_departures();
    if (ready(items[1])) receive_calls();
    if (metrics_ && ready(items[3])) metrics_->answer(metrics_text(machine_.name(), clients_, dropped_));
    serve();
  }
}

void Server::receive_calls() {
  for (int i = 0; i < kMessagesPerTurn; ++i) {
    auto frames = protocol::receive(router_);
    if (!frames) return;
    enqueue(*frames);
  }
}

void Server::enqueue(protocol::Frames& frames) {
  const auto request = protocol::as_request(frames);
  if (!request) {
    ++dropped_;
    log::debug("dropped a message of {} frames that nobody awaits an answer to", frames.size());
    return;
  }
  // Of the last frame: the first is the ROUTER's own.
  Client& sender = client(request->identity, connection_of(frames.back()));
  Counters& counters = sender.session.counters;
  ++counters.messages;
  if (request->body != nullptr) counters.bytes_in += request->body->size();
  if (sender.waiting.size() < scheduler_.limits().waiting_messages) {
    sender.waiting.push_back(
        {std::move(frames[0]), request->body != nullptr ? std::move(frames[2]) : zmq::message_t()});
    return;
  }
  ++counters.refused;
  protocol::Frames out(3);
  out[0] = std::move(frames[0]);
  out[2] = refusal(protocol::BatchError::Outstanding);
  if (!protocol::send(router_, out)) ++dropped_;
}

CallContext Server::context(Client& client, bool may_breathe) {
  CallContext made{machine_, client.session, pauses_, events_};
  if (may_breathe)
    made.breathe = [this] {
      receive_calls();
      scheduler_.run(
          clients_, codecs_, pool_, [this](Client& other) { return context(other, false); },
          [this](Client& other) { send_answer(other); });
    };
  return made;
}

void Server::serve() {
  scheduler_.run(
      clients_, codecs_, pool_, [this](Client& client) { return context(client, true); },
      [this](Client& client) { send_answer(client); });
}

void Server::send_answer(Client& client) {
  client.session.counters.bytes_out += client.running->answer().size();
  protocol::Frames out(3);
  out[0] = std::move(client.running_identity);
  out[2] = client.running->answer().take(client.outstanding);
  client.running.reset();
  if (!protocol::send(router_, out)) ++dropped_;
}

Client& Server::client(std::string_view identity, int connection) {
  auto found = clients_.find(identity);
  if (found == clients_.end()) {
    found = clients_.try_emplace(std::string(identity)).first;
    found->second.session.identity = printable(identity);
    found->second.session.routing = identity;
    found->second.tokens = scheduler_.limits().calls_per_second;
    found->second.refilled = std::chrono::steady_clock::now();
  }
  found->second.session.connection = connection;
  return found->second;
}

void Server::notice_departures() {
  // Two frames: event (16 bit) and value (32 bit, here the descriptor); then the address
  // (zmq_socket_monitor(3)).
  while (const auto frames = protocol::receive(monitor_)) {
    const auto event = load<uint16_t>(as_bytes(protocol::text((*frames)[0])), 0);
    const auto descriptor = load<int32_t>(as_bytes(protocol::text((*frames)[0])), 2);
    if (event != ZMQ_EVENT_DISCONNECTED || !descriptor) continue;
    for (auto it = clients_.begin(); it != clients_.end();) {
      if (it->second.session.connection != *descriptor) {
        ++it;
        continue;
      }
      CallContext leaving = context(it->second, false);
      release(leaving);
      it = clients_.erase(it);
    }
  }
}

}  // namespace furnace::vmi
