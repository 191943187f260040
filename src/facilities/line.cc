#include "facilities/line.h"

#include "base/log.h"
#include "protocol/message_bounds.h"
#include "protocol/sequence.h"

namespace furnace::facilities {

using protocol::Frames;
using protocol::text;

bool parse_be_message(std::string_view bytes, FacMessage& message) {
  return protocol::parse(bytes, message) == protocol::Flaw::None && message.be_msg_size() > 0;
}

namespace {

/// Of a connection: who doesn't know it can't take its place at the other side.
std::string secret_name() {
  return fmt::format("{:016x}{:016x}", protocol::random_number(), protocol::random_number());
}

}  // namespace

std::string Line::address(int port) const {
  return protocol::tcp_address(options_.proxy_ip, port);
}

Result<std::unique_ptr<Line>> Line::connect(zmq::context_t& context, LineOptions options,
                                            protocol::EventLoop& loop, LineEvents events) {
  std::unique_ptr<Line> line(new Line(context, std::move(options), std::move(events)));
  const LineOptions& to = line->options_;
  // A DEALER that sends [empty][body] looks like a REQ to the proxy, and doesn't have to wait.
  FURNACE_TRY(line->requests_,
              line->open(zmq::socket_type::dealer, to.blind ? secret_name() : protocol::call_identity(to.app),
                         to.proxy_port));
  if (!to.blind) {
    FURNACE_TRY(line->messages_,
                line->open(zmq::socket_type::dealer, protocol::message_identity(to.app), to.proxy_port));
  }
  FURNACE_TRY(line->broadcasts_,
              line->open(zmq::socket_type::sub, "", static_cast<uint16_t>(to.proxy_port + 1)));
  Line* self = line.get();
  loop.watch(line->requests_, [self] { self->take_answers(); });
  if (!to.blind) loop.watch(line->messages_, [self] { self->take_messages(); });
  loop.watch(line->broadcasts_, [self] { self->take_broadcasts(); });
  loop.watch(line->connection_->socket(), [self] { self->connection_->handle(); });
  loop.add_timer(std::chrono::seconds(1), [self] {
    if (self->options_.backend_keys.drop_expired()) self->change_key();
  });
  return line;
}

Result<zmq::socket_t> Line::open(zmq::socket_type type, const std::string& identity, uint16_t port) {
  zmq::socket_t socket(*context_, type);
  protocol::set_common_options(socket);
  protocol::use_curve(socket, options_.own, options_.backend_keys.current());
  protocol::keep_connected(socket, options_.proxy_ip);
  if (type == zmq::socket_type::sub) {
    socket.set(zmq::sockopt::subscribe, "");
  } else {
    socket.set(zmq::sockopt::routing_id, identity);
    socket.set(zmq::sockopt::sndhwm, 0);  // bytes are what is limited
  }
  if (!connection_) {
    const char* who = options_.blind ? "backend through the proxy at " : "proxy at ";
    FURNACE_TRY(connection_, protocol::ConnectionLog::watch(*context_, socket, who + address(port),
                                                            {[this] { become_connected(); },
                                                             [this] {
                                                               if (options_.backend_keys.try_other())
                                                                 change_key();
                                                             }}));
  }
  FURNACE_CHECK(protocol::connect(socket, address(port)));
  return socket;
}

bool Line::ask(const FacMessage& message) {
  if (options_.blind)
    return out_.send(requests_, {protocol::call_identity(options_.app), ""}, message.SerializeAsString());
  return out_.send(requests_, {""}, message.SerializeAsString());
}

bool Line::tell(std::string_view message) {
  if (options_.blind)
    return out_.send(requests_, {protocol::message_identity(options_.app)}, std::string(message));
  return out_.send(messages_, {}, std::string(message));
}

void Line::become_connected() {
  told_of_key_ = false;
  if (options_.blind) {
    // So that the backend knows the way to this app before it hears from it.
    FacMessage hello;
    hello.add_type(FacMessage::FLOW);
    hello.add_flow()->set_open(true);
    tell(hello.SerializeAsString());
  }
  events_.connected();
}

void Line::change_key() {
  // Again and again while no peer answers: reported once.
  if (!std::exchange(told_of_key_, true))
    log::info("trying the backend's key {}", options_.backend_keys.current());
  int port = options_.proxy_port;
  for (zmq::socket_t* socket : {&requests_, &messages_, &broadcasts_}) {
    if (socket == &broadcasts_) ++port;
    if (!*socket) continue;  // a blind line has no socket of its own for messages
    socket->set(zmq::sockopt::curve_serverkey, options_.backend_keys.current());
    socket->disconnect(address(port));
    socket->connect(address(port));
  }
}

void Line::renew_requests() {
  requests_.disconnect(address(options_.proxy_port));
  requests_.connect(address(options_.proxy_port));
}

void Line::take_answer(const zmq::message_t& body) {
  FacMessage message;
  if (protocol::parse(text(body), message) == protocol::Flaw::None && message.be_msg_ret_size() == 1)
    return events_.answer(message);
  events_.malformed();
}

void Line::take_answers() {
  while (const auto frames = protocol::receive(requests_)) {
    // [empty][answer]; of a blind line with the app's identity in front, and [identity][message] comes there
    // too.
    const size_t front = options_.blind ? 1 : 0;
    if (frames->size() == front + 2 && (*frames)[front].empty()) {
      take_answer(frames->back());
    } else if (options_.blind && frames->size() == 2) {
      events_.message(text(frames->back()));
    } else {
      events_.malformed();
    }
  }
  events_.answers_taken();
}

void Line::take_messages() {
  while (const auto frames = protocol::receive(messages_)) {
    if (frames->size() == 1) {
      events_.message(text(frames->front()));
    } else {
      events_.malformed();
    }
  }
}

void Line::take_broadcasts() {
  while (const auto frames = protocol::receive(broadcasts_)) {
    if (frames->size() == 1) {
      events_.broadcast(text(frames->front()));
    } else {
      events_.malformed();
    }
  }
}

}  // namespace furnace::facilities
