#include "app/vmi_client.h"

#include <google/protobuf/io/coded_stream.h>
#include <google/protobuf/wire_format_lite.h>

#include <algorithm>
#include <array>
#include <cstring>

#include "app/batch_message.h"
#include "base/bytes.h"
#include "base/log.h"
#include "base/printable.h"
#include "base/text.h"
#include "protocol/monitor.h"

namespace furnace::app {
namespace {

using Field = google::protobuf::FieldDescriptor;
using Message = google::protobuf::Message;
using protocol::Call;

/// Request and answer of `call` in a message, and its arguments' fields: looked up once per call.
struct Schema {
  const Field* request;
  const Field* answer;
  std::vector<const Field*> arguments;
  const Field* count;  ///< of a write: the buffer's size goes beside it
  const Field *status, *value, *reason, *code;

  explicit Schema(const Call& call) {
    const auto& message = *wire::VmiMessage::descriptor();
    request = message.FindFieldByNumber(call.number);
    answer = message.FindFieldByNumber(call.answer_number());
    for (const std::string_view name : items(call.arguments, ' '))
      arguments.push_back(request->message_type()->FindFieldByName(std::string(name)));
    const bool writes = call.verb == protocol::Verb::WriteBytes;
    count = writes ? request->message_type()->FindFieldByName("count") : nullptr;
    status = answer->message_type()->FindFieldByName("status");
    reason = answer->message_type()->FindFieldByName("reason");
    code = answer->message_type()->FindFieldByName("code");
    value = nullptr;
    for (const char* name : {"value", "result", "bytes_written", "identifier", "process", "state"})
      if (value == nullptr) value = answer->message_type()->FindFieldByName(name);
  }
};

const Schema& schema_of(const Call& call) {
  static const std::vector<Schema> schemas(protocol::calls().begin(), protocol::calls().end());
  return schemas[static_cast<size_t>(&call - protocol::calls().data())];
}

Message& element(Message& message, const Field& field) {
  const auto& reflection = *message.GetReflection();
  return field.is_repeated() ? *reflection.AddMessage(&message, &field)
                             : *reflection.MutableMessage(&message, &field);
}

/// "read_64_va(vaddr=0x1000, pid=1)"
std::string describe(const Call& call, std::span<const Argument> arguments) {
  const Schema& schema = schema_of(call);
  std::string text = fmt::format("{}(", call.name);
  for (size_t i = 0; i < arguments.size() && i < schema.arguments.size(); ++i) {
    if (std::holds_alternative<std::monostate>(arguments[i])) continue;
    const std::string& name = schema.arguments[i]->name();
    text += fmt::format("{}{}=", text.ends_with('(') ? "" : ", ", name);
    if (const auto* number = std::get_if<uint64_t>(&arguments[i])) {
      text += name.ends_with("addr") ? fmt::format("{:#x}", *number)
                                     : fmt::format("{}", static_cast<int64_t>(*number));
    } else {
      const auto part = std::get<std::string_view>(arguments[i]);
      text += name == "buffer" ? fmt::format("{} bytes", part.size())
                               : fmt::format("'{}'", printable(part.substr(0, 80)));
    }
  }
  return text + ")";
}

Value value_in(const Message& answer, const Field* field) {
  if (const auto* structure = dynamic_cast<const wire::DescribeStructureRet*>(&answer)) return *structure;
  if (field == nullptr) return {};
  const auto& reflection = *answer.GetReflection();
  switch (field->cpp_type()) {
    case Field::CPPTYPE_UINT64:
      return reflection.GetUInt64(answer, field);
    case Field::CPPTYPE_UINT32:
      return uint64_t{reflection.GetUInt32(answer, field)};
    case Field::CPPTYPE_INT64:
      return static_cast<uint64_t>(reflection.GetInt64(answer, field));
    case Field::CPPTYPE_STRING:
      return reflection.GetString(answer, field);
    default:
      break;
  }
  const auto* list = dynamic_cast<const wire::ProcessListRet*>(&answer);
  return list != nullptr ? Value(list->process()) : Value();
}

/// Whether a number, or a negative one as its complement, can be a field of 32 bits.
bool fits_32_bits(uint64_t number) {
  return number <= UINT32_MAX || number >= static_cast<uint64_t>(int64_t{INT32_MIN});
}

}  // namespace

Status set_argument(Message& message, const Field& field, const Argument& argument) {
  const auto& reflection = *message.GetReflection();
  if (const auto* number = std::get_if<uint64_t>(&argument)) {
    switch (field.cpp_type()) {
      case Field::CPPTYPE_UINT64:
        reflection.SetUInt64(&message, &field, *number);
        return {};
      case Field::CPPTYPE_INT64:
        reflection.SetInt64(&message, &field, static_cast<int64_t>(*number));
        return {};
      case Field::CPPTYPE_UINT32:
        if (!fits_32_bits(*number))
          return fail(Errc::Failed, "argument '{}' is {}, which doesn't fit in 32 bits", field.name(),
                      *number);
        reflection.SetUInt32(&message, &field, static_cast<uint32_t>(*number));
        return {};
      case Field::CPPTYPE_INT32:
        if (!fits_32_bits(*number))
          return fail(Errc::Failed, "argument '{}' is {}, which doesn't fit in 32 bits", field.name(),
                      *number);
        reflection.SetInt32(&message, &field, static_cast<int32_t>(*number));
        return {};
      case Field::CPPTYPE_ENUM:
        reflection.SetEnumValue(&message, &field, static_cast<int>(*number));
        return {};
      default:
        break;
    }
    return fail(Errc::Invalid, "argument '{}' is text, not a number", field.name());
  }
  if (field.cpp_type() != Field::CPPTYPE_STRING)
    return fail(Errc::Invalid, "argument '{}' is a number, not text", field.name());
  if (const auto* text = std::get_if<std::string_view>(&argument))
    reflection.SetString(&message, &field, std::string(*text));
  return {};
}

Result<CallSocket> CallSocket::connect(zmq::context_t& context, std::string address, std::string identity,
                                       WhenLost when_lost) {
  CallSocket made(context, std::move(address), std::move(identity), when_lost);
  FURNACE_CHECK(made.open());
  return made;
}

Status CallSocket::open() {
  close();
  socket_ = zmq::socket_t(*context_, zmq::socket_type::req);
  protocol::set_common_options(socket_, protocol::kMaxAnswerSize);
  socket_.set(zmq::sockopt::routing_id, identity_);
  const int lost = when_lost_ == WhenLost::GiveUp ? ZMQ_EVENT_DISCONNECTED : 0;
  FURNACE_TRY(monitor_, protocol::monitor_of(*context_, socket_, lost | ZMQ_EVENT_MONITOR_STOPPED));
  return protocol::connect(socket_, address_);
}

void CallSocket::close() {
  if (!socket_) return;
  socket_.close();
  // ZeroMQ ends the connection later, on its own thread. The next one has the same name: were both under way
  // at once, the server might meet the old one last, take it for the newer, and answer nobody.
  constexpr std::chrono::milliseconds longest(1000);
  monitor_.set(zmq::sockopt::rcvtimeo, static_cast<int>(longest.count()));
  const auto end = std::chrono::steady_clock::now() + longest;
  zmq::message_t event;
  while (std::chrono::steady_clock::now() < end) {
    // Not by C++: a signal is no exception here.
    const bool received = zmq_msg_recv(event.handle(), monitor_.handle(), 0) >= 0;
    if (!received && zmq_errno() != EINTR) return;
    if (received && event.more() && protocol::monitored_event(event).number == ZMQ_EVENT_MONITOR_STOPPED)
      return;
  }
}

Result<bool> CallSocket::wait(std::chrono::milliseconds time) {
  if (when_lost_ == WhenLost::Wait) {
    socket_.set(zmq::sockopt::rcvtimeo, static_cast<int>(time.count()));
    return true;
  }
  std::array<zmq::pollitem_t, 2> items{
      {{socket_.handle(), 0, ZMQ_POLLIN, 0}, {monitor_.handle(), 0, ZMQ_POLLIN, 0}}};
  zmq::poll(items.data(), items.size(), time);
  if (items[0].revents != 0) return true;
  if (items[1].revents == 0) return false;
  return fail(Errc::Unavailable, "{}: the connection was lost", address_);
}

Status CallSocket::give_up(Error error) {
  FURNACE_CHECK(open());
  return tl::unexpected<Error>(std::move(error));
}

Status CallSocket::check_presence() const {
  const auto gone = presence_ != nullptr ? presence_->gone() : std::nullopt;
  return gone ? Status(tl::unexpected<Error>(*gone)) : Status();
}

Status CallSocket::receive(zmq::message_t& reply, std::string_view call) {
  using Clock = std::chrono::steady_clock;
  using std::chrono::milliseconds;
  constexpr milliseconds between_looks(500);  // at what else may end the wait
  const auto start = Clock::now();
  const auto give_up_after = std::chrono::duration<double>(timeout_).count();
  WaitReports reports(start);
  while (true) {
    const auto now = Clock::now();
    if (auto there = check_presence(); !there) return give_up(there.error());
    const auto left = std::chrono::ceil<milliseconds>(start + timeout_ - now);
    if (left.count() <= 0)
      return give_up(
          {Errc::Unavailable,
           fmt::format("{}: no answer within {} s: the partition that serves there has ended, hangs, or "
                       "is busy (see its log)",
                       address_, give_up_after)});
    if (const auto lasted = reports.take(now))
      log::warning("{}: {} has waited for an answer for {} s, and gives up after {} s", address_, call,
                   lasted->count(), give_up_after);
    try {
      const auto ready = wait(std::min(left, between_looks));
      if (!ready) return give_up(ready.error());
      if (!*ready || !socket_.recv(reply)) continue;
      while (reply.more()) (void)socket_.recv(reply);
      return {};
    } catch (const zmq::error_t& error) {
      if (error.num() != EINTR) return give_up({Errc::Failed, fmt::format("{}: {}", address_, error.what())});
      if (interrupt_)
        if (auto go_on = interrupt_(); !go_on) return give_up(go_on.error());
    }
  }
}

void CallSocket::forget_lost_connections() {
  zmq::message_t event;
  while (zmq_msg_recv(event.handle(), monitor_.handle(), ZMQ_DONTWAIT) >= 0 || zmq_errno() == EINTR) continue;
}

Status CallSocket::send(zmq::message_t& request) {
  if (request.size() > size_t{protocol::kMaxMessageSize})  // who serves there would end the connection
    return fail(Errc::Invalid, "a message of {} bytes: at most {}; send it in parts", request.size(),
                protocol::kMaxMessageSize);
  if (presence_ != nullptr) presence_->need();
  FURNACE_CHECK(check_presence());
  if (counter_ != nullptr) counter_->add();
  if (when_lost_ == WhenLost::GiveUp) forget_lost_connections();
  while (zmq_msg_send(request.handle(), socket_.handle(), ZMQ_DONTWAIT) < 0) {
    if (zmq_errno() == EINTR) continue;
    return give_up({Errc::Unavailable, fmt::format("{}: {}", address_,
                                                   zmq_errno() == EAGAIN ? "no VMI partition serves there"
                                                                         : zmq_strerror(zmq_errno()))});
  }
  return {};
}

Status CallSocket::ask(std::span<const std::byte> request, zmq::message_t& reply, std::string_view call) {
  zmq::message_t message(request.data(), request.size());
  FURNACE_CHECK(send(message));
  return receive(reply, call);
}

Result<zmq::message_t> CallSocket::ask(zmq::message_t request, std::string_view call) {
  zmq::message_t reply;
  FURNACE_CHECK(send(request));
  FURNACE_CHECK(receive(reply, call));
  return reply;
}

Result<VmiClient> VmiClient::connect(zmq::context_t& context, const std::string& directory,
                                     const std::string& app) {
  FURNACE_CHECK(protocol::check_app_id(app));
  FURNACE_TRY(const std::string address, protocol::ipc_address(directory, "vmi_rtr"));
  FURNACE_TRY(CallSocket calls, CallSocket::connect(context, address, protocol::call_identity(app)));
  MonitoredSocket events(context, zmq::socket_type::dealer);
  protocol::set_common_options(events);
  constexpr int messages_queued = 200;  // of up to 250 events each
  events.set(zmq::sockopt::rcvhwm, messages_queued);
  events.set(zmq::sockopt::routing_id, protocol::message_identity(app));
  FURNACE_TRY(zmq::socket_t monitor,
              protocol::monitor_of(context, events, ZMQ_EVENT_CONNECTED | ZMQ_EVENT_DISCONNECTED));
  FURNACE_CHECK(protocol::connect(events, address));
  return VmiClient(std::move(calls), std::move(events), std::move(monitor));
}

Result<wire::VmiMessage> VmiClient::exchange(const wire::VmiMessage& request, std::string_view call) {
  zmq::message_t body(request.ByteSizeLong());
  request.SerializeWithCachedSizesToArray(body.data<uint8_t>());
  FURNACE_TRY(const zmq::message_t reply, calls_.ask(std::move(body), call));
  wire::VmiMessage answer;
  if (!answer.ParseFromArray(reply.data(), static_cast<int>(reply.size())))
    return fail(Errc::Invalid, "the VMI partition's answer is not a VMI message");
  return answer;
}

Result<Value> VmiClient::invoke(const Call& call, std::span<const Argument> arguments) {
  FURNACE_TRY(Result<Value> answered, ask(call, arguments));
  return answered;
}

Result<Result<Value>> VmiClient::ask(const Call& call, std::span<const Argument> arguments) {
  const Schema& schema = schema_of(call);
  const auto failed = [&](const Error& error) { return fail(error, describe(call, arguments)); };
  if (arguments.size() > schema.arguments.size())
    return failed({Errc::Invalid, fmt::format("takes at most {} arguments", schema.arguments.size())});
  wire::VmiMessage request;
  request.add_type(call.number);
  Message& body = element(request, *schema.request);
  for (size_t i = 0; i < arguments.size(); ++i) {
    if (std::holds_alternative<std::monostate>(arguments[i])) continue;
    if (auto set = set_argument(body, *schema.arguments[i], arguments[i]); !set) return failed(set.error());
    if (schema.count != nullptr && schema.arguments[i]->name() == "buffer")
      FURNACE_CHECK(
          set_argument(body, *schema.count, uint64_t{std::get<std::string_view>(arguments[i]).size()}));
  }
  auto answer = exchange(request, call.name);
  if (!answer) return failed(answer.error());
  if (answer->error() || answer->type_size() != 1 || answer->type(0) != call.answer_number())
    return Result<Value>(failed({kind_of_refusal(answer->error_num()),
                                 fmt::format("refused: {} (error {})",
                                             meaning_of_refusal(answer->error_num()), answer->error_num())}));

  const auto& reflection = *answer->GetReflection();
  if (schema.answer->is_repeated() && reflection.FieldSize(*answer, schema.answer) != 1)
    return failed({Errc::Invalid, "an answer without content"});
  const Message& reply = schema.answer->is_repeated()
                             ? reflection.GetRepeatedMessage(*answer, schema.answer, 0)
                             : reflection.GetMessage(*answer, schema.answer);
  if (schema.status != nullptr && reply.GetReflection()->GetInt32(reply, schema.status) != 0) {
    const std::string reason = reply.GetReflection()->GetString(reply, schema.reason);
    const auto code = static_cast<wire::ErrorCode>(reply.GetReflection()->GetEnumValue(reply, schema.code));
    const bool has_code = reply.GetReflection()->HasField(reply, schema.code);
    return Result<Value>(
        failed({has_code ? protocol::kind_of(code) : Errc::Failed, reason.empty() ? "failed" : reason}));
  }
  return value_in(reply, schema.value);
}

namespace {

using google::protobuf::internal::WireFormatLite;
using google::protobuf::io::CodedInputStream;
using google::protobuf::io::CodedOutputStream;

/// One READ_VA or READ_PA, written field by field: the hot path of C++ apps, where a message object would
/// cost as much as the rest.
class ReadRequest {
 public:
  ReadRequest(const Call& call, uint64_t address, std::optional<guest::Pid> pid, size_t count) {
    const Schema& schema = schema_of(call);
    std::array<uint8_t, 40> body;
    uint8_t* to = body.data();
    for (const Field* field : schema.arguments) {
      const bool is_count = field->name() == "count";
      const bool is_pid = field->name() == "pid";
      const uint64_t value = is_count ? count
                             : is_pid ? static_cast<uint64_t>(int64_t{guest::number(*pid)})
                                      : address;
      to = CodedOutputStream::WriteTagToArray(
          WireFormatLite::MakeTag(field->number(), WireFormatLite::WIRETYPE_VARINT), to);
      to = CodedOutputStream::WriteVarint64ToArray(value, to);
    }
    const auto size = static_cast<uint32_t>(to - body.data());
    uint8_t* out = bytes_.data();
    out = CodedOutputStream::WriteTagToArray(
        WireFormatLite::MakeTag(schema.request->number(), WireFormatLite::WIRETYPE_LENGTH_DELIMITED), out);
    out = CodedOutputStream::WriteVarint32ToArray(size, out);
    out = std::copy_n(body.data(), size, out);
    out = CodedOutputStream::WriteTagToArray(
        WireFormatLite::MakeTag(wire::VmiMessage::kTypeFieldNumber, WireFormatLite::WIRETYPE_VARINT), out);
    out = CodedOutputStream::WriteVarint32ToArray(static_cast<uint32_t>(call.number), out);
    size_ = static_cast<size_t>(out - bytes_.data());
  }
  [[nodiscard]] std::span<const std::byte> bytes() const {
    return std::as_bytes(std::span(bytes_).first(size_));
  }

 private:
  std::array<uint8_t, 64> bytes_;
  size_t size_ = 0;
};

/// The `result` in an answer to one read, pointing into it; nullopt if it failed or is something else.
std::optional<std::span<const std::byte>> result_in(const Call& call, std::span<const std::byte> answer) {
  const Schema& schema = schema_of(call);
  CodedInputStream stream(reinterpret_cast<const uint8_t*>(answer.data()), static_cast<int>(answer.size()));
  std::optional<std::span<const std::byte>> result;
  bool failed = false;
  const auto fields = [&](const auto& self, int wanted, int depth) -> bool {
    while (const uint32_t tag = stream.ReadTag()) {
      const int number = WireFormatLite::GetTagFieldNumber(tag);
      if (depth == 0 && number == wanted) {
        uint32_t size = 0;
        if (!stream.ReadVarint32(&size)) return false;
        const auto limit = stream.PushLimit(static_cast<int>(size));
        if (!self(self, schema.value->number(), 1)) return false;
        stream.PopLimit(limit);
      } else if (depth == 1 && number == wanted) {
        uint32_t size = 0;
        if (!stream.ReadVarint32(&size)) return false;
        const auto at = static_cast<size_t>(stream.CurrentPosition());
        if (!stream.Skip(static_cast<int>(size))) return false;
        result = answer.subspan(at, size);
      } else if (depth == 1 && number == schema.status->number()) {
        uint64_t status = 0;
        if (!stream.ReadVarint64(&status)) return false;
        failed = status != 0;
      } else if (!WireFormatLite::SkipField(&stream, tag)) {
        return false;
      }
    }
    return true;
  };
  if (!fields(fields, schema.answer->number(), 0) || failed) return std::nullopt;
  return result;
}

}  // namespace

Status VmiClient::read_bytes(const Call& call, std::span<const Argument> arguments,
                             std::span<const std::byte> request, std::span<std::byte> out) {
  if (auto asked = calls_.ask(request, reply_, call.name); !asked)
    return fail(asked.error(), describe(call, arguments));
  const auto result = result_in(call, {reply_.data<std::byte>(), reply_.size()});
  if (result && result->size() == out.size()) {
    std::memcpy(out.data(), result->data(), out.size());
    return {};
  }
  // The rare case, and its error in full.
  FURNACE_TRY(const Value again, invoke(call, arguments));
  const auto* bytes = std::get_if<std::string>(&again);
  if (bytes == nullptr || bytes->size() != out.size())
    return fail(Errc::Invalid, "{}: a short answer", call.name);
  std::memcpy(out.data(), bytes->data(), out.size());
  return {};
}

Status VmiClient::read(guest::Gva from, guest::Pid pid, std::span<std::byte> out) {
  static const Call& call = *protocol::find_call("read_va");
  const std::array<Argument, 3> arguments{from.value, static_cast<uint64_t>(int64_t{guest::number(pid)}),
                                          uint64_t{out.size()}};
  return read_bytes(call, arguments, ReadRequest(call, from.value, pid, out.size()).bytes(), out);
}

Status VmiClient::read(guest::Gpa from, std::span<std::byte> out) {
  static const Call& call = *protocol::find_call("read_pa");
  const std::array<Argument, 2> arguments{from.value, uint64_t{out.size()}};
  return read_bytes(call, arguments, ReadRequest(call, from.value, std::nullopt, out.size()).bytes(), out);
}

Result<uint64_t> VmiClient::read_64_va(guest::Gva address, guest::Pid pid) {
  static const Call& call = *protocol::find_call("read_64_va");
  const std::array<Argument, 2> arguments{address.value, static_cast<uint64_t>(guest::number(pid))};
  FURNACE_TRY(const Value value, invoke(call, arguments));
  return std::get<uint64_t>(value);
}

Result<std::string> VmiClient::read_va(guest::Gva address, guest::Pid pid, uint32_t count) {
  static const Call& call = *protocol::find_call("read_va");
  const std::array<Argument, 3> arguments{address.value, static_cast<uint64_t>(guest::number(pid)),
                                          uint64_t{count}};
  FURNACE_TRY(Value value, invoke(call, arguments));
  return std::get<std::string>(std::move(value));
}

Result<guest::Gva> VmiClient::lookup_symbol(std::string_view name) {
  static const Call& call = *protocol::find_call("lookup_symbol");
  const std::array<Argument, 1> arguments{name};
  FURNACE_TRY(const Value value, invoke(call, arguments));
  return guest::Gva{std::get<uint64_t>(value)};
}

Result<Processes> VmiClient::process_list() {
  static const Call& call = *protocol::find_call("process_list");
  FURNACE_TRY(Value value, invoke(call, {}));
  return std::get<Processes>(std::move(value));
}

}  // namespace furnace::app
