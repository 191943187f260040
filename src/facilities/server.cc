#include "facilities/server.h"

#include <random>

#include "base/bytes.h"
#include "base/file.h"
#include "base/log.h"

namespace furnace::facilities {
namespace {

using protocol::Frames;
using protocol::text;

bool parse(const zmq::message_t& body, FacMessage& message) {
  return !body.empty() && message.ParseFromArray(body.data(), static_cast<int>(body.size()));
}

FacMessage be_answer(uint32_t status, std::string_view value) {
  FacMessage message;
  message.add_type(FacMessage::BE_MSG_RET);
  auto& body = *message.add_be_msg_ret();
  body.set_status(status);
  body.set_value(std::string(value));
  return message;
}

/// Starts anywhere, so that an answer to a request of an earlier run is not taken for one of this.
uint64_t random_start() {
  std::random_device device;
  return uint64_t{device()} << 32 | device();
}

}  // namespace

FacMessage execute(Storage& storage, const FacMessage& request) {
  FacMessage answer;
  int gets = 0;
  int sets = 0;
  for (const int type : request.type()) {
    if (type == FacMessage::GET) {
      const std::string key = gets < request.get_size() ? request.get(gets).key() : "";
      ++gets;
      answer.add_type(FacMessage::GET_RET);
      auto& result = *answer.add_get_ret();
      result.set_key(key);
      const auto value = storage.get(key);
      result.set_result(value ? 0 : 1);
      result.set_value(value.value_or(""));
      if (!value) log::debug("get: {}", value.error().message());
    } else if (type == FacMessage::SET) {
      const bool present = sets < request.set_size();
      const std::string key = present ? request.set(sets).key() : "";
      const auto stored = storage.set(key, present ? request.set(sets).value() : "");
      ++sets;
      answer.add_type(FacMessage::SET_RET);
      auto& result = *answer.add_set_ret();
      result.set_key(key);
      result.set_result(stored ? 0 : 1);
      if (!stored) log::warning("set: {}", stored.error().message());
    } else {
      // A request to the backend stands alone in its message; nothing else can be asked for.
      answer.add_type(FacMessage::BE_MSG_RET);
      auto& result = *answer.add_be_msg_ret();
      result.set_status(1);
      result.set_value("a request to the backend must be the only one in its message");
    }
  }
  return answer.type_size() != 0 ? answer : be_answer(1, "no request in the message");
}

Result<Server> Server::bind(zmq::context_t& context, const Options& options, Storage storage) {
  FURNACE_CHECK(protocol::check_app_id(options.app));
  auto lock = lock_file(options.directory + "/fac_rtr.lock");
  if (!lock && lock.error().code() == Errc::Unavailable)
    return fail(Errc::Unavailable, "{}/fac_rtr: another FAC partition serves there", options.directory);
  if (!lock) return fail(lock.error(), "socket directory");
  Server server(context, options, std::move(storage));
  FURNACE_TRY(server.counter_, MessageCounter::open(options.counter));
  FURNACE_CHECK(server.open(*std::move(lock)));
  return server;
}

Status Server::open(Fd lock) {
  lock_ = std::move(lock);
  last_request_ = random_start();
  FURNACE_TRY(const std::string router, protocol::ipc_address(options_.directory, "fac_rtr"));
  FURNACE_TRY(const std::string publisher, protocol::ipc_address(options_.directory, "fac_pub"));
  router_ = zmq::socket_t(*context_, zmq::socket_type::router);
  publisher_ = zmq::socket_t(*context_, zmq::socket_type::pub);
  protocol::set_common_options(router_);
  protocol::set_common_options(publisher_);
  FURNACE_CHECK(protocol::bind(router_, router));
  FURNACE_CHECK(protocol::bind(publisher_, publisher));

  // A DEALER that sends [empty][body] looks like a REQ to the proxy, and doesn't have to wait.
  const uint16_t port = options_.proxy_port;
  FURNACE_TRY(requests_, connect_out(zmq::socket_type::dealer, protocol::call_identity(options_.app), port));
  FURNACE_TRY(messages_,
              connect_out(zmq::socket_type::dealer, protocol::message_identity(options_.app), port));
  FURNACE_TRY(broadcasts_, connect_out(zmq::socket_type::sub, "", static_cast<uint16_t>(port + 1)));
  return {};
}

Result<zmq::socket_t> Server::connect_out(zmq::socket_type type, const std::string& identity, uint16_t port) {
  zmq::socket_t socket(*context_, type);
  protocol::set_common_options(socket);
  protocol::use_curve(socket, options_.own, options_.backend_key);
  socket.set(zmq::sockopt::reconnect_ivl, 100);
  socket.set(zmq::sockopt::reconnect_ivl_max, 1000);
  if (type == zmq::socket_type::sub) {
    socket.set(zmq::sockopt::subscribe, "");
  } else {
    socket.set(zmq::sockopt::routing_id, identity);
  }
  const std::string address = fmt::format("tcp://{}:{}", options_.proxy_ip, port);
  if (!connection_) {
    FURNACE_TRY(connection_, protocol::ConnectionLog::watch(*context_, socket, "proxy at " + address));
  }
  FURNACE_CHECK(protocol::connect(socket, address));
  return socket;
}

void Server::run(int stop) {
  while (true) {
    std::vector<zmq::pollitem_t> items{
        {nullptr, stop, ZMQ_POLLIN, 0},           {router_.handle(), 0, ZMQ_POLLIN, 0},
        {requests_.handle(), 0, ZMQ_POLLIN, 0},   {messages_.handle(), 0, ZMQ_POLLIN, 0},
        {broadcasts_.handle(), 0, ZMQ_POLLIN, 0}, {connection_->socket().handle(), 0, ZMQ_POLLIN, 0},
    };
    auto timeout = std::chrono::milliseconds(-1);
    if (pending_)
      timeout =
          std::max(std::chrono::milliseconds(1), std::chrono::duration_cast<std::chrono::milliseconds>(
                                                     pending_->deadline - std::chrono::steady_clock::now()));
    try {
      zmq::poll(items, timeout);
    } catch (const zmq::error_t& error) {
      if (error.num() != EINTR) log::error("poll: {}", error.what());
      continue;
    }
    if (items[0].revents != 0) return;
    if (items[1].revents != 0) serve_app();
    if (items[2].revents != 0) take_backend_answer();
    if (items[3].revents != 0) relay_notifications();
    if (items[4].revents != 0) relay_broadcasts();
    if (items[5].revents != 0) connection_->handle();
    expire_request();
  }
}

std::optional<Frames> Server::take(zmq::socket_t& socket) {
  auto frames = protocol::receive(socket);
  if (frames) counter_.add();
  return frames;
}

void Server::serve_app() {
  constexpr int per_turn = 64;
  for (int i = 0; i < per_turn; ++i) {
    auto frames = take(router_);
    if (!frames) return;
    if (const auto request = protocol::as_request(*frames)) {
      serve_request(*frames, request->body);
    } else {
      serve_one_way(*frames);
    }
  }
}

void Server::serve_request(Frames& frames, const zmq::message_t* body) {
  FacMessage request;
  FacMessage answer;
  if (body == nullptr || !parse(*body, request)) {
    answer = be_answer(1, "malformed message");
  } else if (text(frames[0]) != protocol::call_identity(options_.app)) {
    log::warning("refused a request of '{}': this FAC partition serves {}", printable(text(frames[0])),
                 options_.app);
    answer = be_answer(1, "not the app of this FAC partition");
  } else if (request.type_size() == 1 && request.type(0) == FacMessage::BE_MSG &&
             request.be_msg_size() == 1) {
    return forward_request(request.be_msg(0));
  } else {
    answer = execute(storage_, request);
  }
  if (!protocol::send(router_, {text(frames[0]), "", answer.SerializeAsString()})) ++dropped_;
}

void Server::forward_request(const BeMsg& message) {
  const std::string identity = protocol::call_identity(options_.app);
  pending_ = Pending{++last_request_, identity, std::chrono::steady_clock::now() + options_.request_timeout};
  FacMessage out;
  out.add_type(FacMessage::BE_MSG);
  auto& body = *out.add_be_msg();
  body = message;
  body.set_request_id(pending_->id);
  if (!protocol::send(requests_, {"", out.SerializeAsString()}))
    answer_request(be_answer(1, "the proxy does not take it: it refuses our key, or its queue is full"));
}

void Server::answer_request(const FacMessage& answer) {
  if (!pending_) return;
  if (!protocol::send(router_, {pending_->identity, "", answer.SerializeAsString()})) ++dropped_;
  pending_.reset();
}

void Server::take_backend_answer() {
  while (const auto frames = take(requests_)) {
    FacMessage message;
    if (frames->size() != 2 || !parse((*frames)[1], message) || message.be_msg_ret_size() != 1) {
      ++dropped_;
      continue;
    }
    const BeMsgRet& body = message.be_msg_ret(0);
    // A backend of 1.0 sends no id; its answer is then taken for the one that is awaited.
    if (!pending_ || (body.has_request_id() && body.request_id() != pending_->id)) {
      log::debug("dropped an answer that came after its request's time");
      ++dropped_;
      continue;
    }
    answer_request(message);
  }
}

void Server::expire_request() {
  if (!pending_ || std::chrono::steady_clock::now() < pending_->deadline) return;
  log::warning("no answer from the backend within {} s",
               std::chrono::duration<double>(options_.request_timeout).count());
  answer_request(be_answer(1, "no answer from the backend in time"));
}

void Server::serve_one_way(const Frames& frames) {
  FacMessage message;
  const bool good = frames.size() == 2 && text(frames[0]) == protocol::message_identity(options_.app) &&
                    parse(frames[1], message) && message.be_msg_size() > 0;
  if (!good || !protocol::send(messages_, {text(frames[1])})) ++dropped_;
}

void Server::relay_notifications() {
  while (const auto frames = take(messages_)) {
    FacMessage message;
    const bool good = frames->size() == 1 && parse((*frames)[0], message) && message.be_msg_size() > 0;
    if (!good || !protocol::send(router_, {protocol::message_identity(options_.app), text((*frames)[0])}))
      ++dropped_;
  }
}

void Server::relay_broadcasts() {
  while (const auto frames = take(broadcasts_)) {
    FacMessage message;
    const bool good = frames->size() == 1 && parse((*frames)[0], message) && message.be_msg_size() > 0;
    if (!good || !protocol::send(publisher_, {text((*frames)[0])})) ++dropped_;
  }
}

}  // namespace furnace::facilities
