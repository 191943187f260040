#include "app/facilities_client.h"

#include "protocol/framing.h"

namespace furnace::app {

using facilities::FacMessage;

Result<FacilitiesClient> FacilitiesClient::connect(zmq::context_t& context, const std::string& directory,
                                                   const std::string& app) {
  FURNACE_CHECK(protocol::check_app_id(app));
  FURNACE_TRY(const std::string router, protocol::ipc_address(directory, "fac_rtr"));
  FURNACE_TRY(const std::string publisher, protocol::ipc_address(directory, "fac_pub"));
  FURNACE_TRY(CallSocket calls, CallSocket::connect(context, router, protocol::call_identity(app)));
  // FAC itself answers a request after 30 s at the latest: its answer, which says why, should come first.
  calls.set_timeout(std::chrono::seconds(40));
  zmq::socket_t messages(context, zmq::socket_type::dealer);
  protocol::set_common_options(messages);
  messages.set(zmq::sockopt::routing_id, protocol::message_identity(app));
  FURNACE_CHECK(protocol::connect(messages, router));
  zmq::socket_t broadcasts(context, zmq::socket_type::sub);
  protocol::set_common_options(broadcasts);
  broadcasts.set(zmq::sockopt::subscribe, "");
  FURNACE_CHECK(protocol::connect(broadcasts, publisher));
  return FacilitiesClient(std::move(calls), std::move(messages), std::move(broadcasts));
}

Result<FacMessage> FacilitiesClient::exchange(const FacMessage& request) {
  FURNACE_TRY(const zmq::message_t reply, calls_.ask(zmq::message_t(request.SerializeAsString())));
  FacMessage answer;
  if (!answer.ParseFromArray(reply.data(), static_cast<int>(reply.size())))
    return fail(Errc::Invalid, "the FAC partition's answer is not a FAC message");
  return answer;
}

Status FacilitiesClient::set(std::string_view key, std::string_view value) {
  FacMessage request;
  request.add_type(FacMessage::SET);
  auto& body = *request.add_set();
  body.set_key(std::string(key));
  body.set_value(std::string(value));
  FURNACE_TRY(const FacMessage answer, exchange(request));
  if (answer.set_ret_size() != 1 || answer.set_ret(0).result() != 0)
    return fail(Errc::Failed,
                "io_set('{}'): refused: a bad key (1 to 16 of A-Z a-z 0-9 _ -), or over the quota", key);
  return {};
}

Result<std::string> FacilitiesClient::get(std::string_view key) {
  FacMessage request;
  request.add_type(FacMessage::GET);
  request.add_get()->set_key(std::string(key));
  FURNACE_TRY(const FacMessage answer, exchange(request));
  if (answer.get_ret_size() != 1 || answer.get_ret(0).result() != 0)
    return fail(Errc::NotFound, "io_get('{}'): no such key", key);
  return answer.get_ret(0).value();
}

Status FacilitiesClient::notify(std::string_view text) {
  FacMessage message;
  message.add_type(FacMessage::BE_MSG);
  auto& body = *message.add_be_msg();
  body.set_status(0);
  body.set_value(std::string(text));
  if (!protocol::send(messages_, {message.SerializeAsString()}))
    return fail(Errc::Unavailable, "notify: the FAC partition's queue is full");
  return {};
}

Result<std::string> FacilitiesClient::request(std::string_view text) {
  FacMessage message;
  message.add_type(FacMessage::BE_MSG);
  auto& body = *message.add_be_msg();
  body.set_status(0);
  body.set_value(std::string(text));
  FURNACE_TRY(const FacMessage answer, exchange(message));
  if (answer.be_msg_ret_size() != 1 || answer.be_msg_ret(0).status() != 0)
    return fail(Errc::Failed, "request: the backend failed{}",
                answer.be_msg_ret_size() == 1 && !answer.be_msg_ret(0).value().empty()
                    ? ": " + answer.be_msg_ret(0).value()
                    : std::string());
  return answer.be_msg_ret(0).value();
}

std::optional<std::string> FacilitiesClient::take(zmq::socket_t& socket) {
  while (const auto frames = protocol::receive(socket)) {
    FacMessage message;
    const auto& body = frames->back();
    if (message.ParseFromArray(body.data(), static_cast<int>(body.size())) && message.be_msg_size() > 0)
      return message.be_msg(0).value();
  }
  return std::nullopt;
}

}  // namespace furnace::app
