#include "vmi/server.h"

#include <poll.h>
#include <zmq.h>

#include <algorithm>

#include "base/file.h"
#include "base/log.h"
#include "base/printable.h"

namespace furnace::vmi {
namespace {

constexpr int kMessagesPerTurn = 64;  // before what came is served
constexpr int kEventsPerTurn = 16;    // before calls are looked for again

/// In the place of a connection's descriptor: it has ended.
constexpr int kDeparted = -2;

/// ZeroMQ's descriptor of the connection a message came over. Departures are reported by that number.
int connection_of(zmq::message_t& frame) {
  return zmq_msg_get(frame.handle(), ZMQ_SRCFD);
}

/// Who calls at an app's own socket is not who says the same at the common one.
std::string client_name(const Endpoint& endpoint, std::string_view identity) {
  return fmt::format("{}{}", endpoint.app.empty() ? "" : "/", identity);
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

Server::Server(Endpoints endpoints, Machine& machine, const ServerOptions& options)
    : endpoints_(std::move(endpoints)),
      machine_(machine),
      events_(machine, pauses_),
      scheduler_(options.limits),
      forbidden_(options.forbidden) {
  events_.set_watchdog(options.watchdog, options.watchdogs);
  events_.set_watched_writes(options.watched_writes);
  events_.set_send([](const Session& owner, const std::string& identity, const wire::VmiMessage& message) {
    const std::string body = message.SerializeAsString();
    return protocol::send(owner.endpoint->router, {identity, body});
  });
}

Result<std::unique_ptr<Server>> Server::bind(zmq::context_t& context, const std::string& directory,
                                             Machine& machine, const ServerOptions& options) {
  FURNACE_TRY(Endpoints endpoints, Endpoints::bind(context, directory));
  std::unique_ptr<Server> server(new Server(std::move(endpoints), machine, options));
  FURNACE_TRY(server->counter_, MessageCounter::open(options.counter));
  FURNACE_TRY(auto metrics, MetricsSocket::make(options.metrics, options.metrics_descriptor));
  if (metrics) server->metrics_.emplace(*std::move(metrics));
  server->watch(-1);
  return server;
}

std::chrono::milliseconds Server::time_to_wait() {
  using std::chrono::milliseconds;
  if (events_.pending()) return milliseconds(0);
  std::optional<milliseconds> wait = scheduler_.wait(clients_);
  if (const auto deadline = events_.next_deadline()) {
    const auto left = std::chrono::ceil<milliseconds>(*deadline - std::chrono::steady_clock::now());
    wait = std::min(wait.value_or(milliseconds::max()), std::max(left, milliseconds(0)));
  }
  return wait.value_or(milliseconds(-1));
}

/// What the loop waits for. ZeroMQ's own descriptors tell of changes only, so its sockets are read until
/// nothing is left before each wait; asking them through zmq_poll would cost five system calls more for every
/// message.
struct Server::Watched {
  std::vector<pollfd> items;
  enum : size_t { kStop, kMetrics, kNewApps, kSockets };
  size_t own = kSockets;  ///< where the hypervisor's begin

  Watched(int stop, int metrics, const Endpoints& endpoints) {
    for (const int descriptor : {stop, metrics, endpoints.descriptor()})
      items.push_back({descriptor, POLLIN, 0});
    for (const auto& endpoint : endpoints.all())
      for (auto* socket : {&endpoint->monitor, &endpoint->router})
        items.push_back({socket->get(zmq::sockopt::fd), POLLIN, 0});
    own = items.size();
  }
  [[nodiscard]] bool ready(size_t item) const { return items[item].revents != 0; }
  [[nodiscard]] bool departures_ready() const {
    for (size_t item = kSockets; item < own; item += 2)
      if (ready(item)) return true;
    return false;
  }
  /// Any of the hypervisor's.
  [[nodiscard]] bool hypervisor_ready() const {
    return std::any_of(items.begin() + static_cast<ptrdiff_t>(own), items.end(),
                       [](const pollfd& item) { return item.revents != 0; });
  }
  [[nodiscard]] bool any_ready() const {
    return std::any_of(items.begin(), items.end(), [](const pollfd& item) { return item.revents != 0; });
  }
  void wait(const std::vector<int>& hypervisor, std::chrono::milliseconds time) {
    items.resize(own);
    for (const int descriptor : hypervisor) items.push_back({descriptor, POLLIN, 0});
    if (::poll(items.data(), items.size(), static_cast<int>(time.count())) < 0)
      for (pollfd& item : items) item.revents = 0;  // interrupted
  }
};

void Server::watch(int stop) {
  watched_ = std::make_unique<Watched>(stop, metrics_ ? metrics_->descriptor() : -1, endpoints_);
  notice_departures();  // a first read, so that the next event makes the descriptor ready
}

Server::~Server() = default;

bool Server::run(int stop) {
  watch(stop);
  for (;;) {
    try {
      if (turn(true) == Turn::Gone) return false;
    } catch (const zmq::error_t& error) {
      // A signal to stop may meet any call of ZeroMQ's.
      if (error.num() != EINTR) throw;
      continue;
    }
    if (watched_->ready(Watched::kStop)) return true;
  }
}

std::vector<int> Server::descriptors() const {
  std::vector<int> descriptors = machine_.hypervisor().descriptors();
  for (const pollfd& item : watched_->items)
    if (item.fd >= 0) descriptors.push_back(item.fd);
  return descriptors;
}

Server::Turn Server::turn(bool may_wait) {
  constexpr unsigned turns_between_looks = 16;  // at what is not ZeroMQ's, while there are calls to serve
  Watched& watched = *watched_;
  // Before calls: a new connection may have the descriptor of one whose end was not noticed yet.
  if (watched.departures_ready()) notice_departures();
  receive_calls();
  const bool served = serve();
  if (!served && !ended_.empty()) {
    for (const auto& [endpoint, connection] : std::exchange(ended_, {})) mark_departed(*endpoint, connection);
    forget_departed();
  }
  if (served && ++busy_turns_ % turns_between_looks != 0) return Turn::Busy;
  const bool waits = may_wait && !served;
  watched.wait(machine_.hypervisor().descriptors(), waits ? time_to_wait() : std::chrono::milliseconds(0));
  if (watched.ready(Watched::kStop)) return Turn::Idle;
  if (watched.hypervisor_ready() && machine_.poll()) {
    receive_calls();
    while (serve()) {
    }  // who asked already gets an answer
    return Turn::Gone;
  }
  const bool any_ready = watched.any_ready();
  look_around();
  return served || any_ready ? Turn::Busy : Turn::Idle;
}

/// At what was ready and is not a call.
void Server::look_around() {
  if (watched_->hypervisor_ready()) {
    if (machine_.was_reset()) events_.guest_was_reset();
    events_.dispatch();
  }
  for (int i = 0; i < kEventsPerTurn && events_.pending(); ++i) events_.dispatch();
  events_.do_what_is_due();
  if (watched_->ready(Watched::kMetrics)) metrics_->answer(metrics_text(machine_.name(), clients_, dropped_));
  if (watched_->ready(Watched::kNewApps) && endpoints_.take_new()) watch(watched_->items[Watched::kStop].fd);
}

void Server::receive_calls() {
  for (const auto& endpoint : endpoints_.all())
    for (int i = 0; i < kMessagesPerTurn; ++i) {
      auto frames = protocol::receive(endpoint->router);
      if (!frames) break;
      enqueue(*endpoint, *frames);
    }
}

/// Looks at each connection once.
bool Server::admits(const Endpoint& endpoint, std::string_view identity, int connection) {
  if (endpoint.app.empty()) return true;
  if (const auto known = clients_.find(client_name(endpoint, identity));
      known != clients_.end() && known->second.session.connection == connection)
    return true;
  const std::string why = endpoint.refuses(identity, connection);
  if (why.empty()) return true;
  constexpr std::chrono::seconds between_lines(1);
  if (const auto now = std::chrono::steady_clock::now(); now - told_of_refusal_ > between_lines) {
    told_of_refusal_ = now;
    log::warning("refused: who calls at the socket of app {} {}", endpoint.app, why);
  }
  return false;
}

void Server::refuse(Endpoint& endpoint, protocol::Frames& frames, protocol::BatchError why) {
  protocol::Frames out(3);
  out[0] = std::move(frames[0]);
  out[2] = refusal(why);
  if (!protocol::send(endpoint.router, out)) ++dropped_;
}

void Server::enqueue(Endpoint& endpoint, protocol::Frames& frames) {
  const auto request = protocol::as_request(frames);
  if (!request) {
    ++dropped_;
    log::debug("dropped a message of {} frames, which is no request", frames.size());
    return;
  }
  // Of the last frame: the first is the ROUTER's own.
  const int connection = connection_of(frames.back());
  if (!admits(endpoint, request->identity, connection))
    return refuse(endpoint, frames, protocol::BatchError::Identity);
  meet(endpoint, connection);
  Client& sender = client(endpoint, request->identity, connection);
  Counters& counters = sender.session.counters;
  ++counters.messages;
  counter_.add();
  if (request->body != nullptr) counters.bytes_in += request->body->size();
  if (sender.waiting.size() < scheduler_.limits().waiting_messages) {
    sender.waiting.push_back(
        {std::move(frames[0]), request->body != nullptr ? std::move(frames[2]) : zmq::message_t()});
    return;
  }
  ++counters.refused;
  refuse(endpoint, frames, protocol::BatchError::Outstanding);
}

/// A connection may have the descriptor of one that ended before, even one of the same app, which must not be
/// taken for its end: all that happened before this message came is told by now.
void Server::meet(Endpoint& endpoint, int connection) {
  read_changes(endpoint);
  if (!is_in_call_) forget_departed();  // else the client whose call runs may be among them
  if (!endpoint.connections.contains(connection)) ended_.emplace_back(&endpoint, connection);
}

CallContext Server::context(Client& client, bool may_breathe) {
  CallContext made{machine_, client.session, pauses_, events_};
  if (may_breathe)
    made.breathe = [this] {
      is_in_call_ = true;
      receive_calls();
      is_in_call_ = false;
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
  if (!protocol::send(client.session.endpoint->router, out)) ++dropped_;
}

Client& Server::client(Endpoint& endpoint, std::string_view identity, int connection) {
  const std::string name = client_name(endpoint, identity);
  auto found = clients_.find(name);
  if (found == clients_.end()) {
    found = clients_.try_emplace(name).first;
    found->second.session.endpoint = &endpoint;
    found->second.session.identity = printable(identity);
    found->second.session.routing = identity;
    found->second.session.forbidden = forbidden_.to(found->second.session.app());
    found->second.tokens = scheduler_.limits().calls_per_second;
    found->second.refilled = std::chrono::steady_clock::now();
  }
  found->second.session.connection = connection;
  return found->second;
}

void Server::notice_departures() {
  for (const auto& endpoint : endpoints_.all()) read_changes(*endpoint);
  forget_departed();
}

void Server::read_changes(Endpoint& endpoint) {
  while (const auto frames = protocol::receive(endpoint.monitor))
    note_change(endpoint, protocol::monitored_event(frames->front()));
}

void Server::note_change(Endpoint& endpoint, protocol::MonitoredEvent event) {
  const auto descriptor = static_cast<int>(event.value);
  if (event.number == ZMQ_EVENT_ACCEPTED) {
    endpoint.connections.insert(descriptor);
  } else {
    endpoint.connections.erase(descriptor);
    mark_departed(endpoint, descriptor);
  }
}

void Server::mark_departed(const Endpoint& endpoint, int connection) {
  for (auto& [name, client] : clients_)
    if (client.session.endpoint == &endpoint && client.session.connection == connection) {
      client.session.connection = kDeparted;
      any_departed_ = true;
    }
}

void Server::forget_departed() {
  if (!std::exchange(any_departed_, false)) return;
  for (auto it = clients_.begin(); it != clients_.end();) {
    if (it->second.session.connection != kDeparted) {
      ++it;
      continue;
    }
    CallContext leaving = context(it->second, false);
    release(leaving);
    it = clients_.erase(it);
  }
}

}  // namespace furnace::vmi
