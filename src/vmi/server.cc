#include "vmi/server.h"

#include <poll.h>

#include <algorithm>

#include "base/bytes.h"
#include "base/file.h"
#include "base/log.h"
#include "protocol/framing.h"

namespace furnace::vmi {
namespace {

constexpr int kEventsPerTurn = 16;  // before calls are looked for again

/// Bytes of events that one app may leave unread, and all together.
constexpr size_t kUnreadEvents = 256 << 10, kAllUnreadEvents = 8 << 20;

/// An answer that belongs to no call.
std::string refusal(protocol::BatchError error) {
  wire::VmiMessage answer;
  answer.set_error(true);
  answer.set_error_num(static_cast<int32_t>(error));
  answer.set_error_loc(0);
  return answer.SerializeAsString();
}

}  // namespace

Server::Server(Machine& machine, const ServerOptions& options)
    : machine_(machine),
      pauses_(machine.hypervisor()),
      events_(machine, pauses_),
      scheduler_(options.limits),
      forbidden_(options.forbidden) {
  pauses_.set_watchdog(options.watchdog, options.watchdogs);
  events_.set_watched_writes(options.watched_writes);
  events_.set_send([this](const Session& owner, const std::string& identity,
                          const wire::VmiMessage& message) { return send_event(owner, identity, message); });
}

Result<std::unique_ptr<Server>> Server::bind(const std::string& directory, Machine& machine,
                                             const ServerOptions& options) {
  std::unique_ptr<Server> server(new Server(machine, options));
  Server* self = server.get();
  zmtp::Handlers handlers;
  handlers.message = [self](const zmtp::Peer& peer, zmtp::Message message) {
    self->receive(peer, std::move(message));
  };
  handlers.left = [self](const zmtp::Peer& peer) { self->mark_departed(peer); };
  handlers.is_idle = [self](const zmtp::Peer& peer) {
    const auto found = self->clients_.find(peer.number);
    return found == self->clients_.end() || self->scheduler_.is_idle(found->second);
  };
  handlers.owner = [](std::string_view identity) { return std::string(protocol::app_of(identity)); };
  FURNACE_TRY(server->sockets_, zmtp::Server::make({}, std::move(handlers)));
  FURNACE_TRY(server->endpoints_, Endpoints::bind(*server->sockets_, directory));
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
  if (const auto of_sockets = sockets_->time_to_wait(); of_sockets.count() >= 0)
    wait = std::min(wait.value_or(of_sockets), of_sockets);
  if (const auto deadline = events_.next_deadline()) {
    const auto left = std::chrono::ceil<milliseconds>(*deadline - std::chrono::steady_clock::now());
    wait = std::min(wait.value_or(milliseconds::max()), std::max(left, milliseconds(0)));
  }
  return wait.value_or(milliseconds(-1));
}

/// What the loop waits for.
struct Server::Watched {
  enum : size_t { kStop, kMetrics, kNewApps, kSockets, kHypervisor };
  std::vector<pollfd> items;

  explicit Watched(std::initializer_list<int> own) {
    for (const int descriptor : own) items.push_back({descriptor, POLLIN, 0});
  }
  [[nodiscard]] bool ready(size_t item) const { return items[item].revents != 0; }
  /// Any of the hypervisor's.
  [[nodiscard]] bool hypervisor_ready() const {
    return std::any_of(items.begin() + kHypervisor, items.end(),
                       [](const pollfd& item) { return item.revents != 0; });
  }
  [[nodiscard]] bool any_ready() const {
    return std::any_of(items.begin(), items.end(), [](const pollfd& item) { return item.revents != 0; });
  }
  void wait(const std::vector<int>& hypervisor, std::chrono::milliseconds time) {
    items.resize(kHypervisor);
    for (const int descriptor : hypervisor) items.push_back({descriptor, POLLIN, 0});
    if (::poll(items.data(), items.size(), static_cast<int>(time.count())) < 0)
      for (pollfd& item : items) item.revents = 0;  // interrupted
  }
};

void Server::watch(int stop) {
  watched_ = std::make_unique<Watched>(std::initializer_list<int>{
      stop, metrics_ ? metrics_->descriptor() : -1, endpoints_->descriptor(), sockets_->descriptor()});
}

Server::~Server() = default;

bool Server::run(int stop) {
  watch(stop);
  do
    if (turn(true) == Turn::Gone) return false;
  while (!watched_->ready(Watched::kStop));
  return true;
}

std::vector<int> Server::descriptors() const {
  std::vector<int> descriptors = machine_.hypervisor().descriptors();
  for (const pollfd& item : watched_->items)
    if (item.fd >= 0) descriptors.push_back(item.fd);
  return descriptors;
}

Server::Turn Server::turn(bool may_wait) {
  // While there are calls to serve, the other descriptors are looked at now and then.
  constexpr unsigned turns_between_looks = 16;
  Watched& watched = *watched_;
  sockets_->turn();
  const bool served = serve();
  forget_departed(served);
  if (served && ++busy_turns_ % turns_between_looks != 0) return Turn::Busy;
  close_slow_reader();
  const bool noticed = machine_.hypervisor().has_notice();
  const bool waits = may_wait && !served && !noticed;
  watched.wait(machine_.hypervisor().descriptors(), waits ? time_to_wait() : std::chrono::milliseconds(0));
  if (watched.ready(Watched::kStop)) return Turn::Idle;
  if ((noticed || watched.hypervisor_ready()) && machine_.poll()) {
    answer_the_last();
    return Turn::Gone;
  }
  const bool any_ready = watched.any_ready();
  look_around();
  return served || any_ready ? Turn::Busy : Turn::Idle;
}

/// What was asked already is answered; an app that continues to ask does not keep the partition.
void Server::answer_the_last() {
  constexpr std::chrono::seconds most(2);
  const auto end = std::chrono::steady_clock::now() + most;
  sockets_->turn();
  while (serve() && std::chrono::steady_clock::now() < end) {
  }
}

/// At what was ready and is not a call.
void Server::look_around() {
  if (machine_.was_reset()) events_.guest_was_reset();
  if (watched_->hypervisor_ready()) events_.dispatch();
  for (int i = 0; i < kEventsPerTurn && events_.pending(); ++i) events_.dispatch();
  events_.do_what_is_due();
  if (watched_->ready(Watched::kMetrics)) metrics_->answer(metrics_text(machine_.name(), clients_, dropped_));
  if (watched_->ready(Watched::kNewApps)) endpoints_->take_new();
}

/// Polls each connection once.
bool Server::admits(const zmtp::Peer& peer) {
  if (clients_.contains(peer.number)) return true;
  const Endpoint& endpoint = endpoints_->at(peer.place);
  const std::string why = endpoint.refuses(peer);
  if (!why.empty()) refusals_.warning("refused: who calls at the socket of app {} {}", endpoint.app, why);
  return why.empty();
}

void Server::refuse(const zmtp::Peer& peer, protocol::BatchError why) {
  if (!sockets_->send(peer.place, peer.identity, {"", refusal(why)})) ++dropped_;
}

void Server::receive(const zmtp::Peer& peer, zmtp::Message message) {
  const bool is_request = message.parts.size() >= 2 && message.parts.front().empty();
  if (!is_request) {
    ++dropped_;
    log::debug("dropped a message of {} frames, which is no request", message.parts.size());
    return;
  }
  if (!admits(peer)) return refuse(peer, protocol::BatchError::Identity);
  Client& sender = client(peer);
  Counters& counters = sender.session.counters;
  ++counters.messages;
  counter_.add();
  if (message.parts.size() == 2 && message.left_out == 0) {
    counters.bytes_in += message.parts.back().size();
  } else {
    message.parts.clear();  // the peer awaits an answer, but sent too much
  }
  if (sender.waiting.size() < scheduler_.limits().waiting_messages)
    return sender.waiting.push_back(std::move(message));
  ++counters.refused;
  refuse(peer, protocol::BatchError::Outstanding);
}

CallContext Server::context(Client& client) {
  return {machine_, client.session, pauses_, events_};
}

bool Server::serve() {
  return scheduler_.run(
      clients_, codecs_, pool_, [this](Client& client) { return context(client); },
      [this](Client& client) { send_answer(client); });
}

void Server::send_answer(Client& client) {
  const Session& session = client.session;
  client.session.counters.bytes_out += client.running->answer().size();
  const std::array<zmtp::Outgoing, 2> parts{zmtp::Outgoing{},
                                            client.running->answer().take(client.outstanding)};
  client.running.reset();
  client.running_held.clear();
  // Another one of the same name does not get what this one asked.
  if (client.departed || !sockets_->send(session.place, session.routing, parts)) ++dropped_;
}

bool Server::send_event(const Session& owner, const std::string& identity, const wire::VmiMessage& message) {
  const size_t share = std::min(kUnreadEvents, kAllUnreadEvents / std::max<size_t>(1, clients_.size()));
  // Who has lost events gets the next one when there is room for many, so that a gap is one gap.
  const size_t most = owner.events_lost > 0 ? share / 2 : share;
  return sockets_->send(owner.place, identity, {message.SerializeAsString()}, most);
}

Client& Server::client(const zmtp::Peer& peer) {
  const auto [found, is_new] = clients_.try_emplace(peer.number);
  Client& made = found->second;
  if (is_new) {
    made.session.place = peer.place;
    made.session.identity = printable(peer.identity);
    made.session.routing = peer.identity;
    made.session.forbidden = forbidden_.to(made.session.app());
    made.tokens = scheduler_.limits().calls_per_second;
    made.refilled = std::chrono::steady_clock::now();
  }
  return made;
}

void Server::mark_departed(const zmtp::Peer& peer) {
  const auto found = clients_.find(peer.number);
  if (found == clients_.end()) return;
  found->second.departed = true;
  any_departed_ = true;
}

/// What an app asked before it left is done, as far as there is nothing to wait for; a long call has no app
/// that waits for it, and is dropped.
void Server::forget_departed(bool served) {
  if (!std::exchange(any_departed_, false)) return;
  for (auto it = clients_.begin(); it != clients_.end();) {
    Client& client = it->second;
    if (!client.departed || (served && client.has_work() && !client.in_long_call())) {
      any_departed_ = any_departed_ || client.departed;
      ++it;
      continue;
    }
    CallContext leaving = context(client);
    release(leaving);
    scheduler_.forget(client);
    it = clients_.erase(it);
  }
}

void Server::close_slow_reader() {
  const Client* slow = scheduler_.slow_reader();
  if (slow == nullptr) return;
  for (const auto& [number, client] : clients_)
    if (&client == slow) sockets_->close(number, "does not read a large answer, for which others wait");
}

}  // namespace furnace::vmi
