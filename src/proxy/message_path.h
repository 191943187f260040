// A route that passes messages on, with both keys (wire.md section 3): the backend towards FAC, FAC towards
// the backend.
#pragma once

#include <memory>
#include <optional>
#include <zmq.hpp>

#include "protocol/bounded_sender.h"
#include "protocol/certificate.h"
#include "protocol/monitor.h"
#include "protocol/server_keys.h"
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
    return (connection_ && connection_->connected() ? 1 : 0) + (inside_ ? inside_->let_in() : 0);
  }

 private:
  MessagePath(Poller& poller, zmq::context_t& context, protocol::Authenticator& authenticator,
              const Route& route)
      : poller_(poller),
        context_(context),
        authenticator_(authenticator),
        route_(route),
        rate_(route.limits.bytes_per_second) {}

  /// Secret ones: only the sockets hold them.
  struct Keys {
    protocol::Certificate app, backend;
    protocol::ServerKeys outside;  ///< the backend's, which may not have taken its new key yet
  };
  [[nodiscard]] Result<Keys> load_keys();
  [[nodiscard]] std::string state_of_keys() const;
  using Bind = Status (*)(zmq::socket_t&, const std::string&);
  [[nodiscard]] Status open_inside(const Keys& keys, Bind bind);
  [[nodiscard]] Status open_outside(const Keys& keys);
  /// The same sockets, with what is the backend's key now.
  void connect_anew();
  [[nodiscard]] std::string domain() const { return "route " + to_text(route_.inside); }
  [[nodiscard]] std::string broadcast_domain() const { return domain() + ", broadcasts"; }
  /// Counts connections inside, and handshakes that fail, and closes strangers that are too many.
  [[nodiscard]] Status count_inside();
  [[nodiscard]] bool has_room();
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
  protocol::ServerKeys outside_keys_;
  protocol::AllowList allowed_;
  std::string state_of_keys_;
  std::optional<protocol::ConnectionLog> connection_;  // of dealer_
  // To router_ and publisher_.
  std::optional<protocol::ServerConnections> inside_, listeners_;
  zmq::socket_t router_;      // inside: FAC's requests and messages
  zmq::socket_t publisher_;   // inside: broadcasts
  zmq::socket_t dealer_;      // outside
  zmq::socket_t subscriber_;  // outside
  protocol::BoundedSender out_{64 << 20}, in_{64 << 20}, broadcasts_{64 << 20};
  bool waits_ = false;
};

}  // namespace furnace::proxy
