#include "app/facilities_client.h"

#include "base/log.h"
#include "protocol/error_code.h"
#include "protocol/framing.h"
#include "protocol/monitor.h"

namespace furnace::app {

using facilities::BeMsg;
using facilities::FacMessage;

namespace {

/// FAC answers within its own time; its answer, which says why, should come first.
constexpr std::chrono::seconds kGrace(10);
constexpr std::chrono::seconds kCallTimeout(30);

/// Why a call failed, as its answer says. FAC partitions of 1.0 say nothing (`kind`, `reason`), and don't
/// know some calls, which they answer with none (`without`).
template <typename Answers>
Error error_in(const Answers& answers, Errc kind, const char* reason, const char* without) {
  if (answers.size() != 1) return {kind, without};
  const auto& answer = answers.Get(0);
  const auto code = static_cast<wire::ErrorCode>(answer.code());
  return {answer.has_code() ? protocol::kind_of(code) : kind, answer.has_reason() ? answer.reason() : reason};
}

constexpr const char* kNotKnown = "not known to this FAC partition";
constexpr const char* kNotStored = "refused: a bad key (1 to 16 of A-Z a-z 0-9 _ -), or over the quota";

}  // namespace

Result<FacilitiesClient> FacilitiesClient::connect(zmq::context_t& context, const std::string& directory,
                                                   const std::string& app) {
  FURNACE_CHECK(protocol::check_app_id(app));
  FURNACE_TRY(const std::string router, protocol::ipc_address(directory, "fac_rtr"));
  FURNACE_TRY(const std::string publisher, protocol::ipc_address(directory, "fac_pub"));
  FURNACE_TRY(CallSocket calls, CallSocket::connect(context, router, protocol::call_identity(app),
                                                    CallSocket::WhenLost::GiveUp));
  MonitoredSocket messages(context, zmq::socket_type::dealer);
  protocol::set_common_options(messages);
  messages.set(zmq::sockopt::routing_id, protocol::message_identity(app));
  FURNACE_TRY(zmq::socket_t monitor,
              protocol::monitor_of(context, messages, ZMQ_EVENT_CONNECTED | ZMQ_EVENT_DISCONNECTED));
  FURNACE_CHECK(protocol::connect(messages, router));
  zmq::socket_t broadcasts(context, zmq::socket_type::sub);
  protocol::set_common_options(broadcasts);
  broadcasts.set(zmq::sockopt::subscribe, "");
  FURNACE_CHECK(protocol::connect(broadcasts, publisher));
  return FacilitiesClient(std::move(calls), std::move(messages), std::move(broadcasts), std::move(monitor));
}

Result<FacMessage> FacilitiesClient::exchange(const FacMessage& request, std::string_view call,
                                              Repeat repeat) {
  using Clock = std::chrono::steady_clock;
  const std::string body = request.SerializeAsString();
  const auto end = Clock::now() + kCallTimeout;
  zmq::message_t reply;
  while (true) {
    const Status done = calls_.ask(std::as_bytes(std::span(body)), reply, call);
    if (done) break;
    // What FAC does twice as well as once is asked of the next one, when this one ended.
    const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(end - Clock::now());
    const bool again = repeat == Repeat::Yes && done.error().code() == Errc::Unavailable && left.count() > 0;
    if (!again) return fail(done.error(), fmt::format("{}: the FAC partition", call));
    calls_.set_timeout(left);
  }
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
  calls_.set_timeout(kCallTimeout);
  FURNACE_TRY(const FacMessage answer, exchange(request, "io_set", Repeat::Yes));
  if (answer.set_ret_size() == 1 && answer.set_ret(0).result() == 0) return {};
  return fail(error_in(answer.set_ret(), Errc::Failed, kNotStored, kNotStored),
              fmt::format("io_set('{}')", key));
}

Result<std::string> FacilitiesClient::get(std::string_view key) {
  FacMessage request;
  request.add_type(FacMessage::GET);
  request.add_get()->set_key(std::string(key));
  calls_.set_timeout(kCallTimeout);
  FURNACE_TRY(const FacMessage answer, exchange(request, "io_get", Repeat::Yes));
  if (answer.get_ret_size() != 1 || answer.get_ret(0).result() != 0)
    return fail(error_in(answer.get_ret(), Errc::NotFound, "no such key", "no such key"),
                fmt::format("io_get('{}')", key));
  return answer.get_ret(0).value();
}

Status FacilitiesClient::remove(std::string_view key) {
  FacMessage request;
  request.add_type(FacMessage::REMOVE);
  request.add_remove()->set_key(std::string(key));
  calls_.set_timeout(kCallTimeout);
  FURNACE_TRY(const FacMessage answer, exchange(request, "io_delete", Repeat::Yes));
  if (answer.remove_ret_size() == 1 && answer.remove_ret(0).result() == 0) return {};
  return fail(error_in(answer.remove_ret(), Errc::NotFound, "refused", kNotKnown),
              fmt::format("io_delete('{}')", key));
}

Result<FacilitiesClient::Stored> FacilitiesClient::list() {
  FacMessage request;
  request.add_type(FacMessage::LIST);
  request.add_list();
  calls_.set_timeout(kCallTimeout);
  FURNACE_TRY(const FacMessage answer, exchange(request, "io_list", Repeat::Yes));
  if (answer.list_ret_size() != 1 || answer.list_ret(0).result() != 0)
    return fail(error_in(answer.list_ret(), Errc::Failed, "refused", kNotKnown), "io_list");
  const auto& list = answer.list_ret(0);
  Stored stored{{}, list.used(), list.quota()};
  for (const auto& entry : list.stored()) stored.sizes.emplace_back(entry.key(), entry.size());
  return stored;
}

BeMsg FacilitiesClient::be_message(Content message) const {
  BeMsg body;
  body.set_status(0);
  protocol::set_content(body, std::move(message));
  if (trace_) body.set_traceparent(protocol::traceparent(trace_));
  return body;
}

Status FacilitiesClient::notify(Content content) {
  if (auto fits = protocol::check_content(content.content.size()); !fits) return fail(fits.error(), "notify");
  if (presence_ != nullptr) {
    presence_->need();
    if (const auto gone = presence_->gone()) return fail(Errc::Unavailable, "notify: {}", gone->message());
  }
  read_messages();
  if (!is_open_)
    return fail(Errc::Unavailable,
                "notify: too many messages wait for the backend; this one was not accepted");
  FacMessage message;
  message.add_type(FacMessage::BE_MSG);
  auto& body = *message.add_be_msg() = be_message(std::move(content));
  messages_sent_.stamp(body);
  if (protocol::send(messages_, {message.SerializeAsString()})) return {};
  messages_sent_.undo();
  return fail(Errc::Unavailable, "notify: the queue to the FAC partition is full");
}

Status FacilitiesClient::notify_durably(Content content) {
  FacMessage message;
  message.add_type(FacMessage::KEEP);
  auto& body = *message.add_keep() = be_message(std::move(content));
  kept_.stamp(body);  // FAC knows by it what it has already, if this must be said again
  calls_.set_timeout(kCallTimeout);
  FURNACE_TRY(const FacMessage answer, exchange(message, "notify", Repeat::Yes));
  if (answer.keep_ret_size() == 1 && answer.keep_ret(0).status() == 0) return {};
  kept_.undo();
  return fail(
      error_in(answer.keep_ret(), Errc::Unavailable, "refused", "this FAC partition keeps no messages"),
      "notify");
}

Result<Received> FacilitiesClient::request(Content content, std::chrono::milliseconds timeout) {
  FacMessage message;
  message.add_type(FacMessage::BE_MSG);
  auto& body = *message.add_be_msg() = be_message(std::move(content));
  body.set_timeout_ms(static_cast<uint32_t>(std::max<int64_t>(1, timeout.count())));
  calls_.set_timeout(timeout + kGrace);
  auto answer = exchange(message, "request", Repeat::No);
  if (!answer) return tl::unexpected<Error>(answer.error());
  if (answer->be_msg_ret_size() != 1 || answer->be_msg_ret(0).status() != 0) {
    using facilities::BeMsgRet;
    const BeMsgRet& failed =
        answer->be_msg_ret_size() == 1 ? answer->be_msg_ret(0) : BeMsgRet::default_instance();
    const auto code = static_cast<wire::ErrorCode>(failed.code());
    return fail(failed.has_code() ? protocol::kind_of(code) : Errc::Failed, "request: the backend failed{}{}",
                failed.value().empty() ? "" : ": ", failed.value());
  }
  return Received{protocol::content_of(answer->be_msg_ret(0))};
}

void FacilitiesClient::read_messages() {
  // What the loop has not taken yet stays bounded: the rest waits in the socket, and FAC counts what doesn't
  // fit there.
  constexpr size_t most = 1000;
  while (notifications_.size() < most) {
    const auto frames = protocol::receive(messages_);
    if (!frames) return;
    FacMessage message;
    const auto& body = frames->back();
    if (!message.ParseFromArray(body.data(), static_cast<int>(body.size()))) continue;
    if (message.flow_size() > 0) is_open_ = message.flow(message.flow_size() - 1).open();
    if (message.be_msg_size() > 0) notifications_.push_back(std::move(*message.mutable_be_msg(0)));
  }
}

std::optional<Received> FacilitiesClient::received(const BeMsg& message, protocol::SequenceTracker& last) {
  const uint64_t lost = last.take(message);
  if (lost != 0) log::warning("{} messages of the backend were lost on the way to this app", lost);
  return Received{protocol::content_of(message), lost};
}

std::optional<Received> FacilitiesClient::take_notification() {
  if (notifications_.empty()) read_messages();
  if (notifications_.empty()) return std::nullopt;
  const BeMsg message = std::move(notifications_.front());
  notifications_.pop_front();
  return received(message, last_notification_);
}

std::optional<Received> FacilitiesClient::take_broadcast() {
  while (const auto frames = protocol::receive(broadcasts_)) {
    FacMessage message;
    const auto& body = frames->back();
    if (message.ParseFromArray(body.data(), static_cast<int>(body.size())) && message.be_msg_size() > 0)
      return received(message.be_msg(0), last_broadcast_);
  }
  return std::nullopt;
}

}  // namespace furnace::app
