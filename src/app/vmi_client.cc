#include "app/vmi_client.h"

#include <algorithm>

#include "base/bytes.h"

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
  const Field *status, *value, *reason;

  explicit Schema(const Call& call) {
    const auto& message = *wire::VmiMessage::descriptor();
    request = message.FindFieldByNumber(call.number);
    answer = message.FindFieldByNumber(call.answer_number());
    for (std::string_view names = call.arguments; !names.empty();) {
      const size_t end = std::min(names.find(' '), names.size());
      arguments.push_back(request->message_type()->FindFieldByName(std::string(names.substr(0, end))));
      names.remove_prefix(std::min(end + 1, names.size()));
    }
    const bool writes = call.verb == protocol::Verb::WriteBytes;
    count = writes ? request->message_type()->FindFieldByName("count") : nullptr;
    status = answer->message_type()->FindFieldByName("status");
    reason = answer->message_type()->FindFieldByName("reason");
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
        reflection.SetUInt32(&message, &field, static_cast<uint32_t>(*number));
        return {};
      case Field::CPPTYPE_INT32:
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
  if (const auto* text = std::get_if<std::string_view>(&argument)) reflection.SetString(&message, &field, std::string(*text));
  return {};
}

Result<CallSocket> CallSocket::connect(zmq::context_t& context, std::string address, std::string identity) {
  CallSocket made(context, std::move(address), std::move(identity));
  FURNACE_CHECK(made.open());
  return made;
}

Status CallSocket::open() {
  socket_ = zmq::socket_t(*context_, zmq::socket_type::req);
  protocol::set_common_options(socket_);
  socket_.set(zmq::sockopt::routing_id, identity_);
  return protocol::connect(socket_, address_);
}

Result<zmq::message_t> CallSocket::ask(zmq::message_t request) {
  using Clock = std::chrono::steady_clock;
  const auto deadline = Clock::now() + timeout_;
  const auto give_up = [&](Error error) -> tl::unexpected<Error> {
    if (auto reopened = open(); !reopened) return tl::unexpected<Error>(reopened.error());
    return tl::unexpected<Error>(std::move(error));
  };
  if (!socket_.send(request, zmq::send_flags::dontwait))
    return give_up({Errc::Unavailable, fmt::format("{}: nobody serves there", address_)});
  while (true) {
    const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(deadline - Clock::now());
    zmq::pollitem_t item{socket_.handle(), 0, ZMQ_POLLIN, 0};
    try {
      if (left.count() <= 0 || zmq::poll(&item, 1, left) == 0)
        return give_up({Errc::Unavailable, fmt::format("{}: no answer within {} s", address_,
                                                       std::chrono::duration<double>(timeout_).count())});
    } catch (const zmq::error_t& error) {
      if (error.num() != EINTR) return give_up({Errc::Failed, fmt::format("{}: {}", address_, error.what())});
      if (interrupt_)
        if (auto go_on = interrupt_(); !go_on) return give_up(go_on.error());
      continue;
    }
    auto frames = protocol::receive(socket_);
    if (frames && !frames->empty()) return std::move(frames->back());
  }
}

Result<VmiClient> VmiClient::connect(zmq::context_t& context, const std::string& directory,
                                     const std::string& app) {
  FURNACE_CHECK(protocol::check_app_id(app));
  FURNACE_TRY(const std::string address, protocol::ipc_address(directory, "vmi_rtr"));
  FURNACE_TRY(CallSocket calls, CallSocket::connect(context, address, protocol::call_identity(app)));
  zmq::socket_t events(context, zmq::socket_type::dealer);
  protocol::set_common_options(events);
  events.set(zmq::sockopt::routing_id, protocol::message_identity(app));
  FURNACE_CHECK(protocol::connect(events, address));
  return VmiClient(std::move(calls), std::move(events));
}

Result<wire::VmiMessage> VmiClient::exchange(const wire::VmiMessage& request) {
  zmq::message_t body(request.ByteSizeLong());
  request.SerializeWithCachedSizesToArray(body.data<uint8_t>());
  FURNACE_TRY(const zmq::message_t reply, calls_.ask(std::move(body)));
  wire::VmiMessage answer;
  if (!answer.ParseFromArray(reply.data(), static_cast<int>(reply.size())))
    return fail(Errc::Invalid, "the VMI partition's answer is not a VMI message");
  return answer;
}

Result<Value> VmiClient::invoke(const Call& call, std::span<const Argument> arguments) {
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
  auto answer = exchange(request);
  if (!answer) return failed(answer.error());
  if (answer->error() || answer->type_size() != 1 || answer->type(0) != call.answer_number())
    return failed(
        {Errc::Failed, fmt::format("refused (error {} at {})", answer->error_num(), answer->error_loc())});

  const auto& reflection = *answer->GetReflection();
  if (schema.answer->is_repeated() && reflection.FieldSize(*answer, schema.answer) != 1)
    return failed({Errc::Invalid, "an answer without content"});
  const Message& reply = schema.answer->is_repeated()
                             ? reflection.GetRepeatedMessage(*answer, schema.answer, 0)
                             : reflection.GetMessage(*answer, schema.answer);
  if (schema.status != nullptr && reply.GetReflection()->GetInt32(reply, schema.status) != 0) {
    const std::string reason = reply.GetReflection()->GetString(reply, schema.reason);
    return failed({Errc::Failed, reason.empty() ? "failed" : reason});
  }
  return value_in(reply, schema.value);
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
