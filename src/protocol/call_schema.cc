#include "protocol/call_schema.h"

#include <array>

#include "base/text.h"
#include "vmi.pb.h"

namespace furnace::protocol {
namespace {

/// Where an answer's value is: the first of these fields that the message has.
constexpr std::array kValueFields{"value", "result", "identifier", "process", "state"};

}  // namespace

CallSchema::CallSchema(const Call& call) {
  const auto& message = *wire::VmiMessage::descriptor();
  request = message.FindFieldByNumber(call.number);
  answer = message.FindFieldByNumber(call.answer_number());
  const auto& asked = *request->message_type();
  const auto& answered = *answer->message_type();
  for (const std::string_view name : items(call.arguments, ' '))
    arguments.push_back(asked.FindFieldByName(std::string(name)));
  for (int i = 0; i < asked.field_count(); ++i) request_fields.push_back(asked.field(i));
  for (int i = 0; i < answered.field_count(); ++i) answer_fields.push_back(answered.field(i));
  link = asked.FindFieldByName("link");
  const bool writes = call.answer == AnswerKind::Written;
  if (writes) count = asked.FindFieldByName("count");
  status = answered.FindFieldByName("status");
  for (const char* name : kValueFields)
    if (value == nullptr) value = answered.FindFieldByName(name);
  bytes = answered.FindFieldByName(writes ? "bytes_written" : "bytes_read");
  reason = answered.FindFieldByName("reason");
  code = answered.FindFieldByName("code");
}

const CallSchema& schema_of(const Call& call) {
  static const std::vector<CallSchema> schemas(calls().begin(), calls().end());
  return schemas[static_cast<size_t>(&call - calls().data())];
}

uint64_t integer(const google::protobuf::Message& message, const google::protobuf::FieldDescriptor& field) {
  using Field = google::protobuf::FieldDescriptor;
  const auto& reflection = *message.GetReflection();
  switch (field.cpp_type()) {
    case Field::CPPTYPE_UINT64:
      return reflection.GetUInt64(message, &field);
    case Field::CPPTYPE_INT64:
      return static_cast<uint64_t>(reflection.GetInt64(message, &field));
    case Field::CPPTYPE_UINT32:
      return reflection.GetUInt32(message, &field);
    case Field::CPPTYPE_INT32:
      return static_cast<uint64_t>(static_cast<int64_t>(reflection.GetInt32(message, &field)));
    case Field::CPPTYPE_ENUM:
      return static_cast<uint64_t>(reflection.GetEnumValue(message, &field));
    default:
      return 0;
  }
}

}  // namespace furnace::protocol
