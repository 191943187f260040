// A blind route: passes TCP connections on, byte by byte. What is in them is CURVE between FAC and backend.
#pragma once

#include <sys/socket.h>

#include <memory>
#include <optional>
#include <unordered_map>

#include "base/fd.h"
#include "base/limited_log.h"
#include "protocol/admission.h"
#include "proxy/path.h"
#include "proxy/poller.h"
#include "proxy/rate.h"

namespace furnace::proxy {

/// Kernel pipes that bytes pass through: a connection has one only while something is in it.
class PipePool {
 public:
  [[nodiscard]] Result<Pipe> take();
  void give_back(Pipe pipe);

 private:
  std::vector<Pipe> free_;
};

/// One end of a connection.
struct Side {
  Fd socket;
  bool readable = false, writable = false;
};

/// Bytes on their way from one side to the other.
struct Flow {
  std::optional<Pipe> pipe;
  size_t in_pipe = 0;
  uint64_t passed = 0;         // into the pipe
  uint64_t most = UINT64_MAX;  // that may pass
  bool ended = false;          // nothing more comes in
  bool closed = false;         // and the other side was notified
};

/// How far a connection has come, by what both sides say without encryption.
enum class Stage : uint8_t {
  Greeting,   ///< the client has said nothing yet that a peer would: the backend hears nothing of it
  Handshake,  ///< the backend has not let it in yet
  Open,
};

/// What came of an attempt to pass bytes on. Later: its rate does not allow any now.
enum class Moved : uint8_t { Nothing, Some, Later, Broken };

class Relay : public Path {
 public:
  /// Listens at both ports of the route. Poller and pool must outlive it.
  [[nodiscard]] static Result<std::unique_ptr<Relay>> open(Poller& poller, PipePool& pipes,
                                                           const Route& route);
  ~Relay() override;

  [[nodiscard]] const Route& route() const override { return route_; }
  void set_limits(const Limits& limits) override;
  void look_after() override;
  [[nodiscard]] size_t connections() const override { return connections_.size(); }

 private:
  struct Connection {
    std::array<Side, 2> sides;  // 0: FAC, 1: the backend
    std::array<Flow, 2> flows;  // 0: from FAC to the backend
    protocol::Source source;
    size_t which = 0;  // of the two ports
    Stage stage = Stage::Greeting;
    std::chrono::steady_clock::time_point since = std::chrono::steady_clock::now();
    std::chrono::steady_clock::time_point last = since;
    bool broken = false;
    bool waits = false;  // for its rate, or its next turn
  };
  struct Address {
    sockaddr_storage address{};
    socklen_t size = 0;
  };

  struct Listener {
    Fd socket;
    bool waits = false;  // to take more connections
  };

  Relay(Poller& poller, PipePool& pipes, const Route& route)
      : poller_(poller),
        pipes_(pipes),
        route_(route),
        rate_(route.limits.bytes_per_second),
        strangers_("route " + route.app + ": connections refused or closed") {}
  [[nodiscard]] static Result<Address> resolve(const Endpoint& endpoint, int port);
  [[nodiscard]] Status listen(size_t which);
  void accept(size_t which);
  /// Has `accept` called again; without a delay: after others had their turn.
  void accept_later(size_t which, std::chrono::seconds delay);
  void take(size_t which, Fd client, const protocol::Source& source);
  [[nodiscard]] bool follow(Connection& connection, Side& side);
  /// Connects to the backend for a client that has said what a peer says.
  void greet(Connection& connection);
  [[nodiscard]] Status connect(Connection& connection);
  void move(Connection& connection);
  void notice_handshake(Connection& connection);
  [[nodiscard]] Moved take_in(Side& from, Flow& flow, uint64_t& counter);
  [[nodiscard]] Moved pass(Side& from, Side& to, Flow& flow, uint64_t& counter);
  void close(Connection& connection);

  Poller& poller_;
  PipePool& pipes_;
  Route route_;
  Rate rate_;
  log::Limited strangers_;
  protocol::Admission admission_;
  std::array<Listener, 2> listeners_;
  std::array<Address, 2> outside_;
  std::unordered_map<const Connection*, std::shared_ptr<Connection>> connections_;
};

}  // namespace furnace::proxy
