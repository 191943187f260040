#include "zmtp/server.h"

#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <array>

#include "base/bytes.h"
#include "zmtp/connection.h"

namespace furnace::zmtp {
namespace {

constexpr std::chrono::milliseconds kTick(250);
/// In front of a place's number, where the kernel reports what is ready; connections have no such numbers.
constexpr uint64_t kPlace = uint64_t{1} << 63;
constexpr uid_t kNobody = UINT32_MAX;

Result<Fd> listening(const std::string& path) {
  constexpr int backlog = 64;
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.size() >= sizeof address.sun_path)
    return fail(Errc::Invalid, "{}: {} bytes long, a socket path may have {}; choose a shorter directory",
                path, path.size(), sizeof address.sun_path - 1);
  path.copy(address.sun_path, path.size());
  Fd socket(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!socket.valid()) return fail_errno("{}: socket", path);
  ::unlink(path.c_str());
  if (::bind(socket.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0 ||
      ::listen(socket.get(), backlog) != 0)
    return fail_errno("{}: cannot listen", path);
  return socket;
}

void change(const Fd& epoll, int what, int descriptor, uint64_t number, uint32_t events) {
  epoll_event event{};
  event.events = events;
  event.data.u64 = number;
  (void)::epoll_ctl(epoll.get(), what, descriptor, &event);
}

}  // namespace

Server::Server(const Limits& limits, Handlers handlers, Fd ready)
    : limits_(limits), handlers_(std::move(handlers)), ready_(std::move(ready)) {}

Server::~Server() = default;

Result<std::unique_ptr<Server>> Server::make(const Limits& limits, Handlers handlers) {
  Fd ready(::epoll_create1(EPOLL_CLOEXEC));
  if (!ready.valid()) return fail_errno("epoll");
  return std::unique_ptr<Server>(new Server(limits, std::move(handlers), std::move(ready)));
}

Result<size_t> Server::listen(const std::string& path, Kind kind, const Room& room) {
  FURNACE_TRY(Fd socket, listening(path));
  const size_t number = places_.size();
  places_.push_back(std::make_unique<Place>(Place{number, path, kind, room, std::move(socket)}));
  change(ready_, EPOLL_CTL_ADD, places_.back()->socket.get(), kPlace | number, EPOLLIN);
  return number;
}

std::chrono::milliseconds Server::time_to_wait() const {
  if (!unfinished_.empty() || !broken_.empty()) return std::chrono::milliseconds(0);
  const bool any_paused =
      std::any_of(places_.begin(), places_.end(), [](const auto& place) { return place->is_paused; });
  return timed_.empty() && waiting_.empty() && !any_paused ? std::chrono::milliseconds(-1) : kTick;
}

void Server::turn() {
  constexpr int most_events = 64;
  std::array<epoll_event, most_events> ready;  // NOLINT: is filled
  const int count = ::epoll_wait(ready_.get(), ready.data(), most_events, 0);
  const std::set<uint64_t> unfinished = std::exchange(unfinished_, {});
  for (const uint64_t number : unfinished) serve(number, EPOLLIN);
  for (int i = 0; i < count; ++i) {
    const auto& [events, data] = ready.at(static_cast<size_t>(i));
    if ((data.u64 & kPlace) != 0) {
      accept(*places_[data.u64 & ~kPlace]);
    } else if (!unfinished.contains(data.u64) || (events & ~EPOLLIN) != 0) {
      serve(data.u64, events);
    }
  }
  if (!waiting_.empty()) allow_waiting();
  if (const auto now = Clock::now(); now - looked_ >= kTick) look_at_the_time();
  if (!broken_.empty()) bury_broken();
}

bool Server::has_room(const Place& place) const {
  return place.connections < place.room.connections &&
         place.connections - place.peers.size() < place.room.strangers;
}

void Server::accept(Place& place) {
  while (has_room(place)) {
    Fd socket(::accept4(place.socket.get(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
    if (!socket.valid() && errno == EAGAIN) return;
    if (!socket.valid()) break;  // for want of descriptors, or it has ended already
    const auto credentials = peer_of(socket.get());
    auto made = std::make_unique<Connection>();
    made->peer.number = next_++;
    made->peer.place = place.number;
    made->peer.process = credentials ? credentials->process : 0;
    made->peer.user = credentials ? credentials->user : kNobody;
    made->socket = std::move(socket);
    made->watched = EPOLLIN;
    change(ready_, EPOLL_CTL_ADD, made->socket.get(), made->peer.number, made->watched);
    ++place.connections;
    timed_.insert(made->peer.number);
    send_frames(*made, greeting());
    connections_.emplace(made->peer.number, std::move(made));
  }
  place.is_paused = true;  // who comes now waits in the kernel
  change(ready_, EPOLL_CTL_MOD, place.socket.get(), kPlace | place.number, 0);
}

void Server::accept_again(Place& place) {
  if (!place.is_paused || !has_room(place)) return;
  place.is_paused = false;
  change(ready_, EPOLL_CTL_MOD, place.socket.get(), kPlace | place.number, EPOLLIN);
}

void Server::serve(uint64_t number, uint32_t events) {
  const auto found = connections_.find(number);
  if (found == connections_.end() || broken_.contains(number)) return;
  Connection& connection = *found->second;
  if ((events & EPOLLOUT) != 0 && !connection.out.flush(connection.socket.get())) return drop(connection);
  if ((events & (EPOLLHUP | EPOLLERR)) != 0) {
    // The peer reads no more; what it has sent before is read to its end, but not waited for.
    if (waiting_.contains(number)) return drop(connection);
    connection.out.clear();
  }
  if ((events & (EPOLLIN | EPOLLHUP | EPOLLERR)) != 0) read(connection);
  watch(connection);
}

/// What its socket has to tell: input where there is room for it, and room for output where some waits.
void Server::watch(Connection& connection) {
  const uint64_t number = connection.peer.number;
  if (broken_.contains(number)) return;
  const bool reads = connection.input.empty() && connection.out.waiting() <= limits_.unread;
  const uint32_t wanted =
      (reads ? uint32_t{EPOLLIN} : 0) | (connection.out.waiting() != 0 ? uint32_t{EPOLLOUT} : 0);
  if (wanted != std::exchange(connection.watched, wanted))
    change(ready_, EPOLL_CTL_MOD, connection.socket.get(), number, wanted);
  const bool goes_on =
      !connection.input.empty() && !waiting_.contains(number) && connection.out.waiting() <= limits_.unread;
  if (goes_on) unfinished_.insert(number);
}

void Server::note_time(Connection& connection) {
  const bool amid = !connection.is_ready || connection.decoder.is_amid();
  if (amid == connection.begun.has_value()) return;
  if (amid) {
    connection.begun = Clock::now();
    timed_.insert(connection.peer.number);
  } else {
    connection.begun.reset();
    timed_.erase(connection.peer.number);
  }
}

void Server::look_at_the_time() {
  const auto now = Clock::now();
  const auto since = now - std::exchange(looked_, now);
  // Time in which we did not poll is no peer's fault.
  const auto lost = since > 4 * kTick && !timed_.empty() ? since : Clock::duration{};
  for (const uint64_t number : timed_) {
    Connection& connection = *connections_.at(number);
    if (waiting_.contains(number) || broken_.contains(number)) continue;
    *connection.begun += std::min<Clock::duration>(lost, now - *connection.begun);
    if (now - *connection.begun < limits_.time) continue;
    drop(connection, fmt::format("has not sent {} whole within {} ms",
                                 connection.is_ready ? "a message" : "its handshake", limits_.time.count()));
  }
  for (const auto& place : places_) accept_again(*place);
  log_.tell_left_out();
}

void Server::close(uint64_t number, std::string_view does) {
  const auto found = connections_.find(number);
  if (found != connections_.end()) drop(*found->second, does);
}

void Server::drop(Connection& connection) {
  broken_.insert(connection.peer.number);
}

void Server::drop(Connection& connection, std::string_view does) {
  if (!broken_.insert(connection.peer.number).second) return;
  const Peer& peer = connection.peer;
  log_.warning("{}: closed the connection of '{}' (pid {}): it {}", places_[peer.place]->path,
               peer.identity.empty() ? "a stranger" : printable(handlers_.owner(peer.identity)), peer.process,
               does);
}

void Server::bury_broken() {
  for (const uint64_t number : std::exchange(broken_, {})) bury(number);
}

void Server::bury(uint64_t number) {
  for (auto* of : {&unfinished_, &waiting_, &timed_, &broken_}) of->erase(number);
  const auto found = connections_.find(number);
  if (found == connections_.end()) return;
  const std::unique_ptr<Connection> connection = std::move(found->second);
  connections_.erase(found);
  Place& place = *places_[connection->peer.place];
  --place.connections;
  if (connection->is_ready) {
    place.peers.erase(connection->peer.identity);
    handlers_.left(connection->peer);
  }
  accept_again(place);
}

}  // namespace furnace::zmtp
