#include "proxy/relay.h"

#include <fcntl.h>
#include <netdb.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include <algorithm>

#include "base/log.h"
#include "protocol/greeting.h"

namespace furnace::proxy {
namespace {

using Clock = std::chrono::steady_clock;

constexpr size_t kPiece = 64 << 10;    // what a pipe holds
constexpr size_t kPiecesPerTurn = 16;  // then others have their turn
constexpr size_t kMaxFreePipes = 64;
constexpr int kConnectionsPerTurn = 16;

struct Addresses {
  addrinfo* first = nullptr;
  ~Addresses() {
    if (first != nullptr) ::freeaddrinfo(first);
  }
};

}  // namespace

Result<Pipe> PipePool::take() {
  if (free_.empty()) {
    int ends[2];
    if (::pipe2(ends, O_NONBLOCK | O_CLOEXEC) != 0) return fail_errno("pipe");
    return Pipe{Fd(ends[0]), Fd(ends[1])};
  }
  Pipe pipe = std::move(free_.back());
  free_.pop_back();
  return pipe;
}

void PipePool::give_back(Pipe pipe) {
  if (free_.size() < kMaxFreePipes) free_.push_back(std::move(pipe));
}

Result<Relay::Address> Relay::resolve(const Endpoint& endpoint, int port) {
  addrinfo hints{};
  hints.ai_socktype = SOCK_STREAM;
  Addresses addresses;
  if (const int error =
          ::getaddrinfo(endpoint.host.c_str(), std::to_string(port).c_str(), &hints, &addresses.first);
      error != 0)
    return fail(Errc::NotFound, "{}: {}", endpoint.host, ::gai_strerror(error));
  Address found;
  found.size = addresses.first->ai_addrlen;
  std::copy_n(reinterpret_cast<const char*>(addresses.first->ai_addr), found.size,
              reinterpret_cast<char*>(&found.address));
  return found;
}

Result<std::unique_ptr<Relay>> Relay::open(Poller& poller, PipePool& pipes, const Route& route) {
  std::unique_ptr<Relay> relay(new Relay(poller, pipes, route));
  for (const size_t which : {0, 1}) {
    FURNACE_TRY(relay->outside_[which], resolve(route.outside, route.outside.port + static_cast<int>(which)));
    FURNACE_CHECK(relay->listen(which));
  }
  return relay;
}

Relay::~Relay() {
  poller_.forget(this);
  while (!connections_.empty()) close(*connections_.begin()->second);
  for (const Listener& listener : listeners_)
    if (listener.socket.valid()) poller_.remove(listener.socket.get());
}

Status Relay::listen(size_t which) {
  const int port = route_.inside.port + static_cast<int>(which);
  FURNACE_TRY(const Address address, resolve(route_.inside, port));
  Fd socket(::socket(address.address.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  if (!socket.valid()) return fail_errno("socket");
  const int on = 1;
  ::setsockopt(socket.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  constexpr int backlog = 64;
  if (::bind(socket.get(), reinterpret_cast<const sockaddr*>(&address.address), address.size) != 0 ||
      ::listen(socket.get(), backlog) != 0)
    return fail_errno("{}:{}: cannot listen", route_.inside.host, port);
  FURNACE_CHECK(poller_.add(socket.get(), [this, which](Poller::Ready) { accept(which); }));
  listeners_[which].socket = std::move(socket);
  return {};
}

void Relay::accept(size_t which) {
  for (int taken = 0; taken < kConnectionsPerTurn; ++taken) {
    sockaddr_storage from{};
    socklen_t size = sizeof from;
    Fd client(::accept4(listeners_[which].socket.get(),
                        reinterpret_cast<sockaddr*>(&from),  // NOLINT: sockets
                        &size, SOCK_NONBLOCK | SOCK_CLOEXEC));
    if (client.valid()) {
      take(which, std::move(client), protocol::source_of(from));
    } else if (errno == EMFILE || errno == ENFILE) {
      // Edge-triggered: a connection that waits is not reported again.
      strangers_.warning("route {}: no descriptors left for more connections", route_.app);
      return accept_later(which, std::chrono::seconds(1));
    } else if (errno != ECONNABORTED && errno != EINTR) {
      return;
    }
  }
  accept_later(which, {});
}

void Relay::accept_later(size_t which, std::chrono::seconds delay) {
  if (std::exchange(listeners_[which].waits, true)) return;
  const auto again = [this, which] {
    listeners_[which].waits = false;
    accept(which);
  };
  if (delay.count() == 0) {
    poller_.defer(this, again);
  } else {
    poller_.at(Clock::now() + delay, this, again);
  }
}

void Relay::take(size_t which, Fd client, const protocol::Source& source) {
  if (!admission_.enter(source, {route_.limits.connections, route_.limits.from_one_address()})) {
    ++counters_.refused;
    return strangers_.warning(
        "route {}: refused a connection: {} are open, of {} at most, {} from one address", route_.app,
        connections_.size(), route_.limits.connections, route_.limits.from_one_address());
  }
  const auto owned = std::make_shared<Connection>();
  owned->sides[0].socket = std::move(client);
  owned->flows[0].most = protocol::kMostBeforeReady;
  owned->source = source;
  owned->which = which;
  connections_.emplace(owned.get(), owned);
  ++counters_.connections;
  if (!follow(*owned, owned->sides[0])) close(*owned);
}

bool Relay::follow(Connection& connection, Side& side) {
  // What comes is passed on at once; a peer that vanished is noticed in some minutes.
  const int on = 1;
  ::setsockopt(side.socket.get(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  ::setsockopt(side.socket.get(), SOL_SOCKET, SO_KEEPALIVE, &on, sizeof on);
  return poller_
      .add(side.socket.get(),
           [this, &connection, &side](Poller::Ready ready) {
             side.readable |= ready.readable;
             side.writable |= ready.writable;
             connection.last = Clock::now();
             if (connection.stage == Stage::Greeting) return greet(connection);
             move(connection);
           })
      .has_value();
}

void Relay::greet(Connection& connection) {
  if (connection.broken || !connection.sides[0].readable) return;
  switch (protocol::look_at_greeting(connection.sides[0].socket)) {
    case protocol::Greeting::Incomplete:
      return;
    case protocol::Greeting::Bad:
      ++counters_.handshakes;
      strangers_.warning("route {}: closed a connection that does not speak ZeroMQ", route_.app);
      return close(connection);
    case protocol::Greeting::Good:
      break;
  }
  if (auto connected = connect(connection); !connected) {
    ++counters_.failed;
    strangers_.warning("route {}: {}", route_.app, connected.error().message());
    return close(connection);
  }
  move(connection);
}

Status Relay::connect(Connection& connection) {
  const Address& to = outside_[connection.which];
  Fd socket(::socket(to.address.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  if (!socket.valid()) return fail_errno("socket");
  if (::connect(socket.get(), reinterpret_cast<const sockaddr*>(&to.address), to.size) != 0 &&
      errno != EINPROGRESS)
    return fail_errno("{}", to_text(route_.outside));
  connection.sides[1].socket = std::move(socket);
  connection.stage = Stage::Handshake;
  if (!follow(connection, connection.sides[1])) return fail_errno("epoll");
  return {};
}

namespace {

/// From a socket into the pipe.
Moved fill(Side& from, Flow& flow, size_t allowed, size_t& moved) {
  const ssize_t got = ::splice(from.socket.get(), nullptr, flow.pipe->writing.get(), nullptr, allowed,
                               SPLICE_F_NONBLOCK | SPLICE_F_MOVE);
  if (got > 0) {
    flow.in_pipe += static_cast<size_t>(got);
    moved += static_cast<size_t>(got);
    return Moved::Some;
  }
  if (got == 0) {
    flow.ended = true;
    return Moved::Some;
  }
  if (errno != EAGAIN) return Moved::Broken;
  from.readable = false;  // the pipe was empty: it is the socket that has nothing
  return Moved::Nothing;
}

/// From the pipe into the other socket.
Moved drain(Side& to, Flow& flow) {
  const ssize_t put = ::splice(flow.pipe->reading.get(), nullptr, to.socket.get(), nullptr, flow.in_pipe,
                               SPLICE_F_NONBLOCK | SPLICE_F_MOVE);
  if (put > 0) {
    flow.in_pipe -= static_cast<size_t>(put);
    return Moved::Some;
  }
  if (errno != EAGAIN) return Moved::Broken;
  to.writable = false;
  return Moved::Nothing;
}

}  // namespace

/// Lets what may pass now into the pipe.
Moved Relay::take_in(Side& from, Flow& flow, uint64_t& counter) {
  if (!flow.pipe) {
    auto pipe = pipes_.take();
    if (!pipe) return Moved::Broken;
    flow.pipe.emplace(*std::move(pipe));
  }
  const size_t room = std::min<uint64_t>(kPiece, flow.most - flow.passed);
  if (room == 0) return Moved::Broken;
  const size_t allowed = rate_.allowance(room);
  if (allowed == 0) return Moved::Later;
  size_t bytes = 0;
  const Moved moved = fill(from, flow, allowed, bytes);
  rate_.spend(bytes);
  counter += bytes;
  flow.passed += bytes;
  return moved;
}

Moved Relay::pass(Side& from, Side& to, Flow& flow, uint64_t& counter) {
  Moved result = Moved::Nothing;
  for (size_t pieces = 0; pieces < kPiecesPerTurn; ++pieces) {
    result = Moved::Nothing;
    if (flow.in_pipe == 0 && from.readable && !flow.ended) result = take_in(from, flow, counter);
    if (result == Moved::Broken) return result;
    if (flow.in_pipe != 0 && to.writable) result = drain(to, flow);
    if (result != Moved::Some) break;
  }
  if (flow.in_pipe != 0) return result;
  if (flow.pipe) pipes_.give_back(*std::move(flow.pipe));
  flow.pipe.reset();
  if (flow.ended && !flow.closed) {
    flow.closed = true;
    ::shutdown(to.socket.get(), SHUT_WR);
  }
  return result;
}

void Relay::move(Connection& connection) {
  if (connection.broken) return;
  auto& [inside, outside] = connection.sides;
  const std::array results{pass(inside, outside, connection.flows[0], counters_.bytes_out),
                           pass(outside, inside, connection.flows[1], counters_.bytes_in)};
  const auto has = [&](Moved what) { return results[0] == what || results[1] == what; };
  if (has(Moved::Broken) || (connection.flows[0].closed && connection.flows[1].closed))
    return close(connection);
  notice_handshake(connection);
  if (has(Moved::Some)) connection.last = Clock::now();
  if (connection.waits || !(has(Moved::Some) || has(Moved::Later))) return;
  connection.waits = true;
  const auto go_on = [this, &connection] {
    connection.waits = false;
    move(connection);
  };
  // Where some passed there may be more; others have their turn first.
  if (has(Moved::Some)) {
    poller_.defer(&connection, go_on);
  } else {
    poller_.at(rate_.next(), &connection, go_on);
  }
}

void Relay::notice_handshake(Connection& connection) {
  if (connection.stage != Stage::Handshake || connection.flows[1].passed <= protocol::kBeforeReady) return;
  connection.stage = Stage::Open;
  connection.flows[0].most = UINT64_MAX;
}

void Relay::close(Connection& connection) {
  connection.broken = true;
  poller_.forget(&connection);
  admission_.leave(connection.source);
  for (const Side& side : connection.sides)
    if (side.socket.valid()) poller_.remove(side.socket.get());
  // A pipe that still holds something is not used again.
  for (Flow& flow : connection.flows)
    if (flow.pipe && flow.in_pipe == 0) pipes_.give_back(*std::move(flow.pipe));
  // Its handlers may be the ones that run: it goes when they are done.
  const auto found = connections_.find(&connection);
  poller_.defer(nullptr, [rest = std::move(found->second)] {});
  connections_.erase(found);
}

void Relay::set_limits(const Limits& limits) {
  if (limits.bytes_per_second != route_.limits.bytes_per_second) rate_ = Rate(limits.bytes_per_second);
  route_.limits = limits;
}

void Relay::look_after() {
  strangers_.tell_left_out();
  const auto now = Clock::now();
  const Limits& limits = route_.limits;
  std::vector<Connection*> idle, late;
  for (const auto& [key, connection] : connections_) {
    const bool is_open = connection->stage == Stage::Open;
    if (!is_open && limits.handshake.count() != 0 && now - connection->since >= limits.handshake) {
      late.push_back(connection.get());
    } else if (limits.idle.count() != 0 && now - connection->last > limits.idle) {
      idle.push_back(connection.get());
    }
  }
  for (Connection* connection : late) {
    ++counters_.handshakes;
    strangers_.warning("route {}: closed a connection without a handshake within {} s", route_.app,
                       limits.handshake.count());
    close(*connection);
  }
  counters_.idle += idle.size();
  for (Connection* connection : idle) close(*connection);
}

}  // namespace furnace::proxy
