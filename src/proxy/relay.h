// A blind route: passes TCP connections on, byte by byte. What is in them is CURVE between FAC and backend.
#pragma once

#include <sys/socket.h>

#include <memory>
#include <optional>
#include <unordered_map>

#include "base/fd.h"
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
  bool ended = false;   // nothing more comes in
  bool closed = false;  // and the other side was told
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
    std::chrono::steady_clock::time_point last = std::chrono::steady_clock::now();
    bool broken = false;
    bool waits = false;  // for its rate, or its next turn
  };
  struct Address {
    sockaddr_storage address{};
    socklen_t size = 0;
  };

  Relay(Poller& poller, PipePool& pipes, const Route& route)
      : poller_(poller), pipes_(pipes), route_(route), rate_(route.limits.bytes_per_second) {}
  [[nodiscard]] static Result<Address> resolve(const Endpoint& endpoint, int port);
  [[nodiscard]] Status listen(size_t which);
  void accept(size_t which);
  [[nodiscard]] Status connect(size_t which, Fd client);
  void move(Connection& connection);
  [[nodiscard]] Moved take_in(Side& from, Flow& flow, uint64_t& counter);
  [[nodiscard]] Moved pass(Side& from, Side& to, Flow& flow, uint64_t& counter);
  void close(Connection& connection);

  Poller& poller_;
  PipePool& pipes_;
  Route route_;
  Rate rate_;
  std::array<Fd, 2> listeners_;
  std::array<Address, 2> outside_;
  std::unordered_map<const Connection*, std::shared_ptr<Connection>> connections_;
};

}  // namespace furnace::proxy
