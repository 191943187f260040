#include "proxy/proxy.h"

#include "base/log.h"
#include "protocol/framing.h"

namespace furnace::proxy {
namespace {

/// Passes on what waits, frames unchanged: an identity in front is the address on both sides.
void relay(zmq::socket_t& from, zmq::socket_t& to) {
  constexpr int per_turn = 64;
  for (int i = 0; i < per_turn; ++i) {
    auto frames = protocol::receive(from);
    if (!frames) return;
    if (!protocol::send(to, *frames)) log::debug("a message was dropped: no peer, or its queue is full");
  }
}

std::string address(const std::string& ip, int port) {
  return fmt::format("tcp://{}:{}", ip, port);
}

}  // namespace

Result<Proxy> Proxy::open(zmq::context_t& context, const Options& options) {
  FURNACE_TRY(protocol::Authenticator authenticator, protocol::Authenticator::make(context));
  authenticator.allow(options.app.public_key);

  const auto make = [&](zmq::socket_type type) {
    zmq::socket_t socket(context, type);
    protocol::set_common_options(socket);
    return socket;
  };
  zmq::socket_t router = make(zmq::socket_type::router);
  zmq::socket_t publisher = make(zmq::socket_type::pub);
  protocol::serve_curve(router, options.backend);
  protocol::serve_curve(publisher, options.backend);
  // A FAC that was restarted takes its identity over from its dead connection; only the app's key gets this
  // far.
  router.set(zmq::sockopt::router_handover, true);
  FURNACE_CHECK(protocol::bind(router, address(options.inside_ip, options.inside_port)));
  FURNACE_CHECK(protocol::bind(publisher, address(options.inside_ip, options.inside_port + 1)));

  zmq::socket_t dealer = make(zmq::socket_type::dealer);
  zmq::socket_t subscriber = make(zmq::socket_type::sub);
  for (zmq::socket_t* socket : {&dealer, &subscriber}) {
    protocol::use_curve(*socket, options.app, options.backend.public_key);
    socket->set(zmq::sockopt::reconnect_ivl, 100);
    socket->set(zmq::sockopt::reconnect_ivl_max, 1000);
  }
  subscriber.set(zmq::sockopt::subscribe, "");
  const std::string outside = address(options.outside_ip, options.outside_port);
  FURNACE_TRY(auto connection, protocol::ConnectionLog::watch(context, dealer, "backend at " + outside));
  FURNACE_CHECK(protocol::connect(dealer, outside));
  FURNACE_CHECK(protocol::connect(subscriber, address(options.outside_ip, options.outside_port + 1)));

  Proxy proxy(std::move(authenticator), std::move(connection));
  proxy.router_ = std::move(router);
  proxy.publisher_ = std::move(publisher);
  proxy.dealer_ = std::move(dealer);
  proxy.subscriber_ = std::move(subscriber);
  return proxy;
}

void Proxy::run(int stop) {
  while (true) {
    std::vector<zmq::pollitem_t> items{
        {nullptr, stop, ZMQ_POLLIN, 0},
        {authenticator_.socket().handle(), 0, ZMQ_POLLIN, 0},
        {connection_.socket().handle(), 0, ZMQ_POLLIN, 0},
        {router_.handle(), 0, ZMQ_POLLIN, 0},
        {dealer_.handle(), 0, ZMQ_POLLIN, 0},
        {subscriber_.handle(), 0, ZMQ_POLLIN, 0},
    };
    try {
      zmq::poll(items);
    } catch (const zmq::error_t& error) {
      if (error.num() != EINTR) log::error("poll: {}", error.what());
      continue;
    }
    if (items[0].revents != 0) return;
    if (items[1].revents != 0) authenticator_.handle();
    if (items[2].revents != 0) connection_.handle();
    if (items[3].revents != 0) relay(router_, dealer_);
    if (items[4].revents != 0) relay(dealer_, router_);
    if (items[5].revents != 0) relay(subscriber_, publisher_);
  }
}

}  // namespace furnace::proxy
