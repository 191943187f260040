#include "app/arguments.h"

#include "base/log.h"
#include "base/printable.h"
#include "protocol/call_schema.h"

namespace furnace::app {

using Field = google::protobuf::FieldDescriptor;
using google::protobuf::Message;
using protocol::Call;

namespace {

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

Value value_in(const Call& call, const Message& answer) {
  if (const auto* structure = dynamic_cast<const wire::DescribeStructureRet*>(&answer)) return *structure;
  const protocol::CallSchema& schema = protocol::schema_of(call);
  const Field* const field = call.answer == protocol::AnswerKind::Written ? schema.bytes : schema.value;
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
  if (list == nullptr) return {};
  // The list of 1.0 has no place for it.
  if (list->has_gap()) log::warning("process_list(): processes may be missing: {}", printable(list->gap()));
  return list->process();
}

std::string describe(const Call& call, std::span<const Argument> arguments) {
  const auto& names = protocol::schema_of(call).arguments;
  std::string text = fmt::format("{}(", call.name);
  for (size_t i = 0; i < arguments.size() && i < names.size(); ++i) {
    if (std::holds_alternative<std::monostate>(arguments[i])) continue;
    const std::string& name = names[i]->name();
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

}  // namespace furnace::app
