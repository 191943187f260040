// A route that passes messages on, with both keys (wire.md section 3): the backend towards FAC, FAC towards
// the backend.
#pragma once

#include <memory>
#include <optional>
#include <zmq.hpp>

#include "protocol/bounded_sender.h"
#include "protocol/certificate.h"
#include "protocol/monitor.h"
#include "protocol/zap.h"
#include "proxy/path.h"
#include "proxy/poller.h"
#include "proxy/rate.h"

namespace furnace::proxy {

class MessagePath : public Path {
 public:
  [[nodiscard]] static Result<std::unique_ptr<MessagePath>> open(Poller& poller, zmq::context_t& context,
                                                                 protocol::Authenticator& authenticator,
                                                                 const Route& route);
  ~MessagePath() override;

  [[nodiscard]] const Route& route() const override { return route_; }
  void set_limits(const Limits& limits) override;
  /// Takes new keys, if their files have changed.
  void look_after() override;
  [[nodiscard]] size_t connections() const override {
    return connection_ && connection_->connected() ? 1 : 0;
  }

 private:
  MessagePath(Poller& poller, zmq::context_t& context, protocol::Authenticator& authenticator,
              const Route& route)
      : poller_(poller),
        context_(context),
        authenticator_(authenticator),
        route_(route),
        rate_(route.limits.bytes_per_second) {}

  /// Secret ones: they stay in the sockets alone.
  struct Keys {
    protocol::Certificate app, backend;
  };
  [[nodiscard]] Result<Keys> load_keys();
  [[nodiscard]] Status open_inside(const Keys& keys);
  [[nodiscard]] Status open_outside(const Keys& keys);
  [[nodiscard]] std::string domain() const { return "route " + to_text(route_.inside); }
  void watch(zmq::socket_t& socket);
  void unwatch(zmq::socket_t& socket);
  void work();
  /// Passes on what waits, frames unchanged: an identity in front is the address on both sides. True if there
  /// may be more.
  bool pass(zmq::socket_t& from, zmq::socket_t& to, uint64_t& bytes);

  Poller& poller_;
  zmq::context_t& context_;
  protocol::Authenticator& authenticator_;
  Route route_;
  Rate rate_;
  std::string app_key_, backend_key_;  // public ones, in use
  protocol::AllowList allowed_;
  std::string state_of_keys_;
  zmq::socket_t router_;                               // inside: FAC's requests and messages
  zmq::socket_t publisher_;                            // inside: broadcasts
  zmq::socket_t dealer_;                               // outside
  zmq::socket_t subscriber_;                           // outside
  std::optional<protocol::ConnectionLog> connection_;  // of dealer_
  protocol::BoundedSender out_{64 << 20}, in_{64 << 20}, broadcasts_{64 << 20};
  bool waits_ = false;
};

}  // namespace furnace::proxy
