#include "proxy/message_path.h"

#include "base/log.h"
#include "protocol/framing.h"

namespace furnace::proxy {
namespace {

namespace fs = std::filesystem;

std::string address(const Endpoint& endpoint, int offset) {
  return protocol::tcp_address(endpoint.host, endpoint.port + offset);
}

std::string state_of(const fs::path& file) {
  std::error_code error;
  return fmt::format("{} ", fs::last_write_time(file, error).time_since_epoch().count());
}

}  // namespace

Result<std::unique_ptr<MessagePath>> MessagePath::open(Poller& poller, zmq::context_t& context,
                                                       protocol::Authenticator& authenticator,
                                                       const Route& route) {
  std::unique_ptr<MessagePath> path(new MessagePath(poller, context, authenticator, route));
  FURNACE_TRY(const Keys keys, path->load_keys());
  path->authenticator_.guard(path->domain(), path->allowed_,
                             [self = path.get()] { return self->has_room(); });
  path->authenticator_.guard(path->broadcast_domain(), path->allowed_);
  FURNACE_CHECK(path->open_inside(keys, protocol::bind));
  FURNACE_CHECK(path->open_outside(keys));
  path->work();
  return path;
}

MessagePath::~MessagePath() {
  poller_.forget(this);
  for (zmq::socket_t* socket : {&router_, &publisher_, &dealer_, &subscriber_}) unwatch(*socket);
  if (connection_) unwatch(connection_->socket());
  for (auto* counted : {&inside_, &listeners_})
    if (*counted) unwatch((*counted)->socket());
  authenticator_.forget(domain());
  authenticator_.forget(broadcast_domain());
}

std::string MessagePath::state_of_keys() const {
  return state_of(route_.app_key) + state_of(route_.backend_key);
}

Result<MessagePath::Keys> MessagePath::load_keys() {
  state_of_keys_ = state_of_keys();
  FURNACE_TRY(protocol::Certificate app, protocol::load_secret(route_.app_key));
  FURNACE_TRY(protocol::Certificate backend, protocol::load_secret(route_.backend_key));
  FURNACE_CHECK(protocol::check_distinct(app, backend, route_.app_key.string(), route_.backend_key.string()));
  protocol::AllowList allowed;
  FURNACE_CHECK(allowed.add_file(route_.app_key));
  allowed_ = std::move(allowed);
  FURNACE_TRY(auto outside, protocol::ServerKeys::load(route_.backend_key));
  return Keys{std::move(app), std::move(backend), std::move(outside)};
}

Status MessagePath::open_inside(const Keys& keys, Bind bind) {
  backend_key_ = keys.backend.public_key;
  router_ = zmq::socket_t(context_, zmq::socket_type::router);
  publisher_ = zmq::socket_t(context_, zmq::socket_type::pub);
  int offset = 0;
  for (zmq::socket_t* socket : {&router_, &publisher_}) {
    protocol::set_common_options(*socket);
    protocol::serve_curve(*socket, keys.backend, socket == &router_ ? domain() : broadcast_domain());
    protocol::keep_connected(*socket, route_.inside.host);
    // A FAC that was restarted takes its identity over from its dead connection; only the app's key gets this
    // far.
    if (socket == &router_) router_.set(zmq::sockopt::router_handover, true);
    FURNACE_CHECK(bind(*socket, address(route_.inside, offset++)));
  }
  watch(router_);
  return count_inside();
}

Status MessagePath::count_inside() {
  FURNACE_TRY(inside_, protocol::ServerConnections::watch(context_, router_));
  FURNACE_TRY(listeners_, protocol::ServerConnections::watch(context_, publisher_));
  watch(inside_->socket());
  watch(listeners_->socket());
  return {};
}

bool MessagePath::has_room() {
  if (route_.limits.connections == 0) return true;
  inside_->handle();
  const bool room = inside_->let_in() < route_.limits.connections;
  if (!room) ++counters_.refused;
  return room;
}

Status MessagePath::open_outside(const Keys& keys) {
  app_key_ = keys.app.public_key;
  outside_keys_ = keys.outside;
  dealer_ = zmq::socket_t(context_, zmq::socket_type::dealer);
  subscriber_ = zmq::socket_t(context_, zmq::socket_type::sub);
  for (zmq::socket_t* socket : {&dealer_, &subscriber_}) {
    protocol::set_common_options(*socket);
    protocol::use_curve(*socket, keys.app, outside_keys_.current());
    protocol::keep_connected(*socket, route_.outside.host);
  }
  subscriber_.set(zmq::sockopt::subscribe, "");
  subscriber_.set(zmq::sockopt::immediate, true);  // no queue for a backend that isn't there
  FURNACE_TRY(connection_,
              protocol::ConnectionLog::watch(context_, dealer_, "backend at " + address(route_.outside, 0),
                                             {[this] { ++counters_.connections; },
                                              [this] {
                                                if (outside_keys_.try_other()) connect_anew();
                                              }}));
  FURNACE_CHECK(protocol::connect(dealer_, address(route_.outside, 0)));
  FURNACE_CHECK(protocol::connect(subscriber_, address(route_.outside, 1)));
  watch(connection_->socket());
  watch(dealer_);
  watch(subscriber_);
  return {};
}

void MessagePath::connect_anew() {
  int offset = 0;
  for (zmq::socket_t* socket : {&dealer_, &subscriber_}) {
    const std::string to = address(route_.outside, offset++);
    socket->set(zmq::sockopt::curve_serverkey, outside_keys_.current());
    socket->disconnect(to);
    socket->connect(to);
  }
}

void MessagePath::watch(zmq::socket_t& socket) {
  // ZeroMQ's descriptors report only changes, and a socket that is used may have taken one: all are read
  // until they are empty, whichever reported a change.
  if (auto added = poller_.add(socket.get(zmq::sockopt::fd), [this](Poller::Ready) { work(); }); !added)
    log::error("route {}: {}", route_.app, added.error().message());
}

void MessagePath::unwatch(zmq::socket_t& socket) {
  if (socket) poller_.remove(socket.get(zmq::sockopt::fd));
}

bool MessagePath::pass(zmq::socket_t& from, zmq::socket_t& to, uint64_t& bytes) {
  constexpr int per_turn = 64;
  protocol::BoundedSender& sender = &to == &dealer_ ? out_ : &to == &router_ ? in_ : broadcasts_;
  for (int i = 0; i < per_turn; ++i) {
    if (rate_.allowance(1) == 0) return true;
    auto frames = protocol::receive(from);
    if (!frames) return false;
    std::vector<std::string> front;
    for (size_t frame = 0; frame + 1 < frames->size(); ++frame)
      front.emplace_back(protocol::text((*frames)[frame]));
    const std::string body(protocol::text(frames->back()));
    rate_.spend(body.size());
    bytes += body.size();
    ++counters_.messages;
    if (sender.send(to, front, body)) continue;
    ++counters_.dropped;
    log::debug("route {}: a message was dropped: no peer, or its queue is full", route_.app);
  }
  return true;
}

void MessagePath::work() {
  connection_->handle();
  if (inside_) {
    inside_->handle();
    listeners_->handle();
    counters_.handshakes =
        inside_->failed() + listeners_->failed() + inside_->turned_away() + listeners_->turned_away();
  }
  bool more = false;
  more |= pass(router_, dealer_, counters_.bytes_out);
  more |= pass(dealer_, router_, counters_.bytes_in);
  more |= pass(subscriber_, publisher_, counters_.bytes_in);
  // Sending may have swallowed what a descriptor would have reported.
  for (zmq::socket_t* socket : {&router_, &dealer_, &subscriber_, &publisher_})
    more |= (socket->get(zmq::sockopt::events) & ZMQ_POLLIN) != 0;
  if (!more || waits_) return;
  waits_ = true;
  const auto go_on = [this] {
    waits_ = false;
    work();
  };
  if (rate_.is_limited() && rate_.allowance(1) == 0) {
    poller_.at(rate_.next(), this, go_on);
  } else {
    poller_.defer(this, go_on);
  }
}

void MessagePath::set_limits(const Limits& limits) {
  if (limits.bytes_per_second != route_.limits.bytes_per_second) rate_ = Rate(limits.bytes_per_second);
  route_.limits = limits;
}

void MessagePath::look_after() {
  allowed_.refresh();
  if (inside_) inside_->tell_left_out();
  if (listeners_) listeners_->tell_left_out();
  if (outside_keys_.drop_expired()) connect_anew();
  if (state_of_keys() == state_of_keys_) return;
  const auto keys = load_keys();
  if (!keys) return log::warning("route {}: new keys: {}", route_.app, keys.error().message());
  const bool is_new_inside = keys->backend.public_key != backend_key_;
  if (keys->app.public_key == app_key_ && !is_new_inside) return;
  log::info("route {}: new keys", route_.app);
  // What waits in the old sockets goes with them: durable messages come again.
  for (zmq::socket_t* socket : {&connection_->socket(), &dealer_, &subscriber_}) unwatch(*socket);
  for (auto* counted : {&inside_, &listeners_})
    if (*counted && is_new_inside) unwatch((*counted)->socket());
  Status opened = open_outside(*keys);
  if (opened && is_new_inside) {
    for (zmq::socket_t* socket : {&router_, &publisher_}) {
      if (socket == &router_) unwatch(*socket);
      socket->close();
    }
    opened = open_inside(*keys, protocol::bind_again);
  }
  if (!opened) {
    log::error("route {}: {}; trying again", route_.app, opened.error().message());
    state_of_keys_.clear();
    app_key_.clear();
    backend_key_.clear();
  }
  work();
}

}  // namespace furnace::proxy
