// Sockets that ZeroMQ's clients connect to by ipc, as a ROUTER or a PUB of libzmq's would serve them, with
// limits on what each may make the process hold: connections, bytes of messages on their way, and time.
//
// libzmq bounds only whole messages, and has read them before the program can refuse them. Here a message's
// size is known from its header before its bytes are read; what there is no room for waits in the kernel, at
// its sender's cost.
#pragma once

#include <chrono>
#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "base/fd.h"
#include "base/limited_log.h"
#include "zmtp/decoder.h"
#include "zmtp/outgoing.h"

namespace furnace::zmtp {

enum class Kind : uint8_t {
  Router,     ///< of REQ, DEALER and ROUTER; each peer has an identity
  Publisher,  ///< of SUB and XSUB
};

/// Who has connected, from READY on.
struct Peer {
  uint64_t number = 0;   ///< of the connection; never used again
  size_t place = 0;      ///< where: what `listen` returned
  std::string identity;  ///< its own word
  pid_t process = 0;     ///< the kernel's
  uid_t user = 0;
};

struct Handlers {
  std::function<void(const Peer&, Message)> message = [](const Peer&, Message) {};
  std::function<void(const Peer&)> left = [](const Peer&) {};
  /// Whether what the peer has sent before is done with: a large message is read then.
  std::function<bool(const Peer&)> is_idle = [](const Peer&) { return true; };
  /// Whom an identity belongs to, for the log and for who is refused.
  std::function<std::string(std::string_view)> owner = [](std::string_view it) { return std::string(it); };
};

class Server {
 public:
  struct Limits {
    size_t large = 12 << 20;               ///< bytes of all large messages, until they are done with
    size_t small = 8 << 20;                ///< of all others: each connection has an equal share
    size_t small_each = 64 << 10;          ///< but not more than this
    size_t unread = 64 << 10;              ///< who has left more unread is not read from
    std::chrono::milliseconds time{5000};  ///< that a handshake and a message may take
  };
  /// Of one place.
  struct Room {
    size_t connections = 4;
    size_t strangers = 4;  ///< of them, before READY
  };

  [[nodiscard]] static Result<std::unique_ptr<Server>> make(const Limits& limits, Handlers handlers);
  ~Server();
  Server(const Server&) = delete;
  Server& operator=(const Server&) = delete;

  /// Listens at `path`; what was left there is replaced. Returns the place's number.
  [[nodiscard]] Result<size_t> listen(const std::string& path, Kind kind, const Room& room);

  /// Readable when there is something to do.
  [[nodiscard]] int descriptor() const { return ready_.get(); }
  /// When there is something to do besides; negative: never.
  [[nodiscard]] std::chrono::milliseconds time_to_wait() const;
  /// Does it, without waiting.
  void turn();

  /// Sends to the peer of this identity. Returns false if there is none, or if more than `most` bytes would
  /// be unread there.
  bool send(size_t place, std::string_view identity, std::span<const Outgoing> parts, size_t most = SIZE_MAX);
  bool send(size_t place, std::string_view identity, std::initializer_list<std::string_view> parts,
            size_t most = SIZE_MAX);
  /// Sends to all who have subscribed to what it begins with, but to whom it would leave more than `most`
  /// bytes unread.
  void publish(size_t place, std::string_view content, size_t most);
  [[nodiscard]] bool has_subscribers(size_t place) const;
  /// Ends a connection; the log says that its peer `does`.
  void close(uint64_t number, std::string_view does);

  [[nodiscard]] size_t connections() const { return connections_.size(); }

 private:
  using Clock = std::chrono::steady_clock;
  struct Connection;
  struct Place;

  Server(const Limits& limits, Handlers handlers, Fd ready);
  void accept(Place& place);
  void accept_again(Place& place);
  [[nodiscard]] bool has_room(const Place& place) const;
  void serve(uint64_t number, uint32_t events);
  void read(Connection& from);
  void read_part(Connection& from);
  void read_input(Connection& from, std::span<const std::byte> input);
  /// nullopt: nothing came, or the connection has ended.
  [[nodiscard]] std::optional<size_t> receive(Connection& from, std::span<std::byte> into);
  void deliver(Connection& from);
  [[nodiscard]] Status obey(Connection& from);
  [[nodiscard]] Status meet(Connection& from, const Ready& ready);
  [[nodiscard]] Status subscribe(Connection& from, std::string_view topic, bool on);
  [[nodiscard]] bool is_alive(const Connection& connection) const;

  [[nodiscard]] size_t small_share() const;
  [[nodiscard]] bool allow_small(Connection& to);
  [[nodiscard]] bool allow_large(Connection& to);
  void allow_waiting();

  [[nodiscard]] Connection* find(size_t place, std::string_view identity) const;
  void send_frames(Connection& to, std::string frames);
  void watch(Connection& connection);
  void note_time(Connection& connection);
  void look_at_the_time();
  void drop(Connection& connection, std::string_view does);
  void drop(Connection& connection);
  void bury_broken();
  void bury(uint64_t number);

  const Limits limits_;
  Handlers handlers_;
  Fd ready_;  // an epoll
  std::vector<std::unique_ptr<Place>> places_;
  std::map<uint64_t, std::unique_ptr<Connection>> connections_;
  uint64_t next_ = 0, grants_ = 0;
  Count large_ = std::make_shared<size_t>(0);
  // Connections, by number:
  std::set<uint64_t> unfinished_;  // with bytes that were read and not looked at
  std::set<uint64_t> waiting_;     // for room for a message
  std::set<uint64_t> timed_;       // amid a handshake or a message
  std::set<uint64_t> broken_;      // that are to be closed
  Clock::time_point looked_ = Clock::now();
  log::Limited log_{"connections closed or refused"};
};

}  // namespace furnace::zmtp
