#include "vmi/server.h"

#include <poll.h>
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

/// What the loop waits for. ZeroMQ's own descriptors tell of changes only, so its sockets are read until nothing is left
/// before each wait; asking them through zmq_poll would cost five system calls more for every message.
struct Server::Watched {
  std::vector<pollfd> items;
  enum : size_t { kStop, kRouter, kMonitor, kMetrics, kOwn };

  Watched(int stop, int router, int monitor, int metrics) {
    for (const int descriptor : {stop, router, monitor, metrics}) items.push_back({descriptor, POLLIN, 0});
  }
  [[nodiscard]] bool ready(size_t item) const { return items[item].revents != 0; }
  /// Any of the hypervisor's.
  [[nodiscard]] bool hypervisor_ready() const {
    return std::any_of(items.begin() + kOwn, items.end(), [](const pollfd& item) { return item.revents != 0; });
  }
  void wait(const std::vector<int>& hypervisor, std::chrono::milliseconds time) {
    items.resize(kOwn);
    for (const int descriptor : hypervisor) items.push_back({descriptor, POLLIN, 0});
    if (::poll(items.data(), items.size(), static_cast<int>(time.count())) < 0)
      for (pollfd& item : items) item.revents = 0;  // interrupted
  }
};

bool Server::run(int stop) {
  Watched watched(stop, router_.get(zmq::sockopt::fd), monitor_.get(zmq::sockopt::fd),
                  metrics_ ? metrics_->descriptor() : -1);
  notice_departures();  // a first read, so that the next event makes the descriptor ready
  constexpr int turns_between_looks = 16;  // at what is not ZeroMQ's, while there are calls to serve
  for (int turn = 0;; ++turn) {
    // Before calls: a new connection may have the descriptor of one whose end was not noticed yet.
    if (watched.ready(Watched::kMonitor)) notice_departures();
    receive_calls();
    const bool served = serve();
    if (served && turn % turns_between_looks != 0) continue;
    watched.wait(machine_.hypervisor().descriptors(), served ? std::chrono::milliseconds(0) : time_to_wait());
    if (watched.ready(Watched::kStop)) return true;
    if (watched.hypervisor_ready()) {
      if (machine_.poll()) {
        receive_calls();
        while (serve()) {
        }  // who asked already gets an answer
        return false;
      }
      events_.dispatch();
    }
    events_.enforce_deadlines();
    if (watched.ready(Watched::kMetrics)) metrics_->answer(metrics_text(machine_.name(), clients_, dropped_));
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

bool Server::serve() {
  return scheduler_.run(
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
