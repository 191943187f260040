#include "app/vmi_client.h"

#include <google/protobuf/io/coded_stream.h>
#include <google/protobuf/wire_format_lite.h>

#include <array>
#include <cstring>

#include "app/batch_message.h"
#include "protocol/call_schema.h"
#include "protocol/error_code.h"
#include "protocol/framing.h"
#include "protocol/monitor.h"
#include "protocol/wire_writer.h"

namespace furnace::app {
namespace {

using Field = google::protobuf::FieldDescriptor;
using Message = google::protobuf::Message;
using protocol::Call;

Message& element(Message& message, const Field& field) {
  const auto& reflection = *message.GetReflection();
  return field.is_repeated() ? *reflection.AddMessage(&message, &field)
                             : *reflection.MutableMessage(&message, &field);
}

}  // namespace

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
  const protocol::CallSchema& schema = protocol::schema_of(call);
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
  return value_in(call, reply);
}

namespace {

using google::protobuf::internal::WireFormatLite;
using google::protobuf::io::CodedInputStream;

/// One READ_VA or READ_PA, written field by field: the hot path of C++ apps, where a message object would
/// cost as much as the rest.
class ReadRequest {
 public:
  ReadRequest(const Call& call, uint64_t address, std::optional<guest::Pid> pid, size_t count) {
    const protocol::CallSchema& schema = protocol::schema_of(call);
    std::array<uint8_t, 40> body;
    uint8_t* to = body.data();
    for (const Field* field : schema.arguments) {
      const bool is_count = field->name() == "count";
      const bool is_pid = field->name() == "pid";
      const uint64_t value = is_count ? count
                             : is_pid ? static_cast<uint64_t>(int64_t{guest::number(*pid)})
                                      : address;
      to = protocol::put_number(field->number(), value, to);
    }
    const auto size = static_cast<size_t>(to - body.data());
    uint8_t* out = protocol::put_text(schema.request->number(),
                                      {reinterpret_cast<const char*>(body.data()), size}, bytes_.data());
    out = protocol::put_number(wire::VmiMessage::kTypeFieldNumber, static_cast<uint64_t>(call.number), out);
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
  const protocol::CallSchema& schema = protocol::schema_of(call);
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
