#include "backend/backend.h"

#include "base/bytes.h"
#include "base/log.h"

namespace furnace::backend {
namespace {

using facilities::FacMessage;

/// The app's id in an identity: without its "-r" or "-d".
std::string_view app_of(std::string_view identity) {
  return identity.ends_with("-r") || identity.ends_with("-d") ? identity.substr(0, identity.size() - 2)
                                                              : identity;
}

std::string be_message(std::string_view text) {
  FacMessage message;
  message.add_type(FacMessage::BE_MSG);
  auto& body = *message.add_be_msg();
  body.set_status(0);
  body.set_value(std::string(text));
  return message.SerializeAsString();
}

}  // namespace

Result<std::unique_ptr<Backend>> Backend::open(zmq::context_t& context, const Options& options) {
  FURNACE_TRY(protocol::Authenticator authenticator, protocol::Authenticator::make(context));
  authenticator.allow(options.app_key);
  std::unique_ptr<Backend> backend(new Backend(std::move(authenticator)));
  backend->dealer_ = zmq::socket_t(context, zmq::socket_type::dealer);
  backend->publisher_ = zmq::socket_t(context, zmq::socket_type::pub);
  int port = options.port;
  for (zmq::socket_t* socket : {&backend->dealer_, &backend->publisher_}) {
    protocol::set_common_options(*socket);
    protocol::serve_curve(*socket, options.own);
    FURNACE_CHECK(protocol::bind(*socket, fmt::format("tcp://{}:{}", options.ip, port++)));
  }
  Backend* self = backend.get();
  backend->loop_.watch(self->authenticator_.socket(), [self] { self->authenticator_.handle(); });
  backend->loop_.watch(self->dealer_, [self] { self->serve(); });
  return backend;
}

void Backend::serve() {
  constexpr int per_turn = 64;
  for (int i = 0; i < per_turn && !loop_.stopped(); ++i) {
    const auto frames = protocol::receive(dealer_);
    if (!frames) return;
    answer(*frames);
  }
}

void Backend::answer(const protocol::Frames& frames) {
  // [<app>-r][empty][BE_MSG] awaits an answer, [<app>-d][BE_MSG] does not.
  const bool wants_answer = frames.size() == 3 && frames[1].empty();
  FacMessage message;
  const auto& body = frames.back();
  const bool good = (wants_answer || frames.size() == 2) &&
                    message.ParseFromArray(body.data(), static_cast<int>(body.size())) &&
                    message.be_msg_size() > 0;
  if (!good && !wants_answer) {
    log::warning("dropped a malformed message of {} frames", frames.size());
    return;
  }
  const std::string identity(protocol::text(frames[0]));
  Result<std::string> result = fail(Errc::Invalid, "malformed message");
  if (good) {
    const Message received{printable(app_of(identity)), wants_answer, message.be_msg(0).value()};
    result = callback_ ? callback_(received)
                       : Result<std::string>(fail(Errc::Unavailable, "the backend takes no messages"));
  }
  if (!wants_answer) return;
  FacMessage reply;
  reply.add_type(FacMessage::BE_MSG_RET);
  auto& answer = *reply.add_be_msg_ret();
  answer.set_status(result ? 0 : 1);
  answer.set_value(result ? *result : valid_utf8(result.error().message()));
  if (good && message.be_msg(0).has_request_id()) answer.set_request_id(message.be_msg(0).request_id());
  if (!protocol::send(dealer_, {identity, "", reply.SerializeAsString()}))
    log::warning("an answer to {} was dropped: the proxy is gone", printable(identity));
}

Status Backend::notify(std::string_view app, std::string_view text) {
  FURNACE_CHECK(protocol::check_app_id(app));
  if (!protocol::send(dealer_, {protocol::message_identity(app_of(app)), be_message(text)}))
    return fail(Errc::Unavailable, "notify('{}'): no proxy is connected, or its queue is full", app);
  return {};
}

Status Backend::broadcast(std::string_view text) {
  if (!protocol::send(publisher_, {be_message(text)}))
    return fail(Errc::Unavailable, "broadcast: the queue is full");
  return {};
}

}  // namespace furnace::backend
