// What a zmtp::Server does with what its peers send.
#include <poll.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>

#include "base/bytes.h"
#include "zmtp/connection.h"

namespace furnace::zmtp {
namespace {

constexpr size_t kReadAtOnce = 8 << 10;    // of what may be headers
constexpr size_t kReadOfAPart = 64 << 10;  // so that others are served in between
constexpr int kMessagesAtOnce = 16;
constexpr size_t kMostTopics = 64;

constexpr std::array<std::string_view, 3> kRouterPeers{"REQ", "DEALER", "ROUTER"};
constexpr std::array<std::string_view, 2> kPublisherPeers{"SUB", "XSUB"};

bool takes(Kind kind, std::string_view type) {
  const std::span<const std::string_view> types =
      kind == Kind::Router ? std::span<const std::string_view>(kRouterPeers) : kPublisherPeers;
  return std::find(types.begin(), types.end(), type) != types.end();
}

}  // namespace

std::optional<size_t> Server::receive(Connection& from, std::span<std::byte> into) {
  ssize_t got = 0;
  do got = ::recv(from.socket.get(), into.data(), into.size(), MSG_DONTWAIT);
  while (got < 0 && errno == EINTR);
  if (got > 0) return static_cast<size_t>(got);
  if (got == 0 || errno != EAGAIN) drop(from);
  return std::nullopt;
}

void Server::read(Connection& from) {
  if (from.out.waiting() > limits_.unread) return;
  if (!from.input.empty()) {
    const std::string input = std::exchange(from.input, {});
    read_input(from, as_bytes(input));
  } else if (!from.decoder.rest_of_part().empty()) {
    read_part(from);
  } else {
    std::array<std::byte, kReadAtOnce> input;  // NOLINT: is filled
    if (const auto got = receive(from, input)) read_input(from, std::span(input).first(*got));
  }
  note_time(from);
}

/// Straight to where it belongs.
void Server::read_part(Connection& from) {
  const auto rest = from.decoder.rest_of_part();
  const auto got = receive(from, rest.first(std::min(rest.size(), kReadOfAPart)));
  if (got && from.decoder.put(*got) == Decoder::Step::Message) deliver(from);
}

void Server::read_input(Connection& from, std::span<const std::byte> input) {
  for (int messages = 0; messages < kMessagesAtOnce && from.out.waiting() <= limits_.unread;) {
    const auto step = from.decoder.read(input);
    if (!step) return drop(from, step.error().message());
    if (*step == Decoder::Step::More) return;
    if (*step == Decoder::Step::Room && !from.is_ready) return drop(from, "sends a message before READY");
    if (*step == Decoder::Step::Room && !allow_small(from)) {
      waiting_.insert(from.peer.number);
      break;
    }
    if (*step == Decoder::Step::Command) {
      if (const auto obeyed = obey(from); !obeyed) return drop(from, obeyed.error().message());
    } else if (*step == Decoder::Step::Message) {
      ++messages;
      deliver(from);
    }
    if (broken_.contains(from.peer.number)) return;
  }
  from.input = as_text(input);
}

void Server::deliver(Connection& from) {
  Message message = from.decoder.take();
  message.held = std::exchange(from.held, {});
  from.begun.reset();  // the next one has its own time
  timed_.erase(from.peer.number);
  if (!from.is_ready) return drop(from, "sends a message before READY");
  if (places_[from.peer.place]->kind == Kind::Router) return handlers_.message(from.peer, std::move(message));
  // Subscriptions of ZMTP 3.0: one part, which begins with 1 or, for its end, 0.
  const std::string_view text = message.parts.empty() ? "" : as_text(message.parts.front().bytes());
  if (text.empty() || message.parts.size() != 1 || text.front() > 1) return;
  if (const auto done = subscribe(from, text.substr(1), text.front() == 1); !done)
    drop(from, done.error().message());
}

Status Server::obey(Connection& from) {
  FURNACE_TRY(const Command command, from.decoder.command());
  if (command.name == "ERROR") return fail(Errc::Invalid, "refuses us");
  if (command.name == "READY") {
    if (from.is_ready) return fail(Errc::Invalid, "sends READY twice");
    FURNACE_TRY(const Ready ready, parse_ready(command.data));
    return meet(from, ready);
  }
  if (!from.is_ready) return fail(Errc::Invalid, "sends a command before READY");
  if (command.name == "PING") {
    const auto pong = pong_command(command.data);
    if (!pong) return fail(Errc::Invalid, "sends PING of no valid form");
    send_frames(from, *pong);
  } else if (command.name == "SUBSCRIBE" || command.name == "CANCEL") {
    return subscribe(from, as_text(command.data), command.name == "SUBSCRIBE");
  }
  return {};  // others are of later versions
}

/// Returns whether the peer is connected: its end of a socket is closed with its process, whatever is unread
/// before that.
bool Server::is_alive(const Connection& connection) const {
  pollfd item{connection.socket.get(), 0, 0};
  return !broken_.contains(connection.peer.number) &&
         (::poll(&item, 1, 0) == 0 || (item.revents & (POLLHUP | POLLERR)) == 0);
}

Status Server::meet(Connection& from, const Ready& ready) {
  Place& place = *places_[from.peer.place];
  const auto refuse = [&](std::string_view reason, std::string_view does) {
    send_frames(from, error_command(reason));
    return fail(Errc::Denied, "{}", does);
  };
  if (!takes(place.kind, ready.socket_type)) {
    const auto type =
        fmt::format("is a {} socket", printable(std::string_view(ready.socket_type).substr(0, 20)));
    return refuse("this socket takes no peers of that type", type);
  }
  // libzmq's own, for who has none: a zero and a number.
  std::string identity = ready.identity;
  if (identity.empty())
    identity.append(1, '\0').append(reinterpret_cast<const char*>(&from.peer.number),
                                    sizeof from.peer.number);
  if (const auto holder = place.peers.find(identity); holder != place.peers.end()) {
    if (is_alive(*holder->second)) {
      const std::string reason =
          fmt::format("app '{}' is connected already (pid {})", printable(handlers_.owner(identity)),
                      holder->second->peer.process);
      return refuse(reason, "is refused: " + reason);
    }
    bury(holder->second->peer.number);
  }
  from.peer.identity = identity;
  place.peers.emplace(identity, &from);
  from.is_ready = true;
  send_frames(from, ready_command(place.kind == Kind::Router ? "ROUTER" : "PUB"));
  accept_again(place);
  return {};
}

Status Server::subscribe(Connection& from, std::string_view topic, bool on) {
  if (places_[from.peer.place]->kind != Kind::Publisher) return {};
  if (!on) {
    if (const auto known = from.topics.find(topic); known != from.topics.end()) from.topics.erase(known);
    return {};
  }
  if (from.topics.size() == kMostTopics || topic.size() > kMaxIdentity)
    return fail(Errc::Invalid, "subscribes to too much");
  from.topics.emplace(topic);
  return {};
}

size_t Server::small_share() const {
  return std::min(limits_.small_each, limits_.small / std::max<size_t>(1, connections_.size()));
}

bool Server::allow_small(Connection& to) {
  const size_t more = to.decoder.wanted() - to.decoder.allowed();
  if (*to.small + more > small_share()) return false;
  to.held.emplace_back(to.small, more);
  to.decoder.allow(to.decoder.wanted());
  return true;
}

bool Server::allow_large(Connection& to) {
  const size_t more = to.decoder.wanted() - to.decoder.allowed();
  if (*large_ + more > limits_.large) return false;
  to.held.emplace_back(large_, more);
  to.decoder.allow(to.decoder.wanted());
  to.begun = Clock::now();  // it had to wait for us
  places_[to.peer.place]->granted = ++grants_;
  return true;
}

/// Room goes to the place that has waited for longest since it got any, and no place overtakes one that needs
/// more.
void Server::allow_waiting() {
  const auto go_on = [this](uint64_t number) {
    waiting_.erase(number);
    watch(*connections_.at(number));
  };
  for (const uint64_t number : std::set<uint64_t>(waiting_))
    if (allow_small(*connections_.at(number))) go_on(number);
  while (true) {
    Connection* next = nullptr;
    for (const uint64_t number : waiting_) {
      Connection& each = *connections_.at(number);
      if (!each.is_ready || !handlers_.is_idle(each.peer)) continue;
      if (next == nullptr || places_[each.peer.place]->granted < places_[next->peer.place]->granted)
        next = &each;
    }
    if (next == nullptr || !allow_large(*next)) return;
    go_on(next->peer.number);
  }
}

}  // namespace furnace::zmtp
