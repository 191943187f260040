#include "vmi/codec.h"

#include <algorithm>

#include "base/bytes.h"

namespace furnace::vmi {
namespace {

using Field = google::protobuf::FieldDescriptor;
using Message = google::protobuf::Message;

template <typename Meaning>
struct Name {
  std::string_view field;
  Meaning meaning;
};

constexpr std::array kNumbers = {
    Name<Number>{"vaddr", Number::Address},
    Name<Number>{"paddr", Number::Address},
    Name<Number>{"pid", Number::Pid},
    Name<Number>{"count", Number::Count},
    Name<Number>{"value", Number::Value},
    Name<Number>{"vcpu", Number::Vcpu},
    Name<Number>{"identifier", Number::Identifier},
    Name<Number>{"event_type", Number::EventType},
    Name<Number>{"sync_state", Number::SyncState},
    Name<Number>{"reg_value", Number::RegValue},
    Name<Number>{"bp_addr", Number::BreakpointAddress},
    Name<Number>{"bp_pid", Number::BreakpointPid},
};
constexpr std::array kTexts = {
    Name<Text>{"symbol", Text::Symbol},          Name<Text>{"symbol_name", Text::Symbol},
    Name<Text>{"structure_name", Text::Symbol},  Name<Text>{"structure_key", Text::Member},
    Name<Text>{"buffer", Text::Buffer},          Name<Text>{"reg", Text::Register},
    Name<Text>{"bp_name", Text::BreakpointName},
};
/// Where an answer's value goes: the first of these fields that the message has.
constexpr std::array<const char*, 5> kValueFields = {"value", "result", "identifier", "process", "state"};

template <typename Meaning, size_t N>
std::optional<Meaning> meaning_of(const std::array<Name<Meaning>, N>& names, std::string_view field) {
  const auto found =
      std::find_if(names.begin(), names.end(), [&](const auto& name) { return name.field == field; });
  if (found == names.end()) return std::nullopt;
  return found->meaning;
}

void set_integer(Message& message, const Field& field, uint64_t value) {
  const auto& reflection = *message.GetReflection();
  switch (field.cpp_type()) {
    case Field::CPPTYPE_UINT64:
      return reflection.SetUInt64(&message, &field, value);
    case Field::CPPTYPE_INT64:
      return reflection.SetInt64(&message, &field, static_cast<int64_t>(value));
    case Field::CPPTYPE_UINT32:
      return reflection.SetUInt32(&message, &field, static_cast<uint32_t>(value));
    case Field::CPPTYPE_INT32:
      return reflection.SetInt32(&message, &field, static_cast<int32_t>(value));
    default:
      return;
  }
}

void add_process(Message& message, const Field& field, const guest::Process& process) {
  auto* added = dynamic_cast<wire::Process*>(message.GetReflection()->AddMessage(&message, &field));
  if (added == nullptr) return;
  added->set_pid(process.pid);
  added->set_name(process.name);
  added->set_process_block_ptr(process.task.value);
}

void set_structure(Message& message, const guest::Structure& structure) {
  auto* answer = dynamic_cast<wire::DescribeStructureRet*>(&message);
  if (answer == nullptr) return;
  answer->set_size(structure.size);
  for (const guest::StructureMember& member : structure.members) {
    wire::StructureMember& added = *answer->add_member();
    added.set_name(member.name);
    added.set_bit_offset(member.bit_offset);
    added.set_kind(static_cast<uint32_t>(member.kind));
    added.set_size(member.size);
    added.set_type(member.type);
    if (member.bit_size != 0) added.set_bit_size(member.bit_size);
    if (member.count != 0) added.set_count(member.count);
    if (member.is_signed) added.set_is_signed(true);
  }
}

}  // namespace

bool is_integer(const Field& field) {
  switch (field.cpp_type()) {
    case Field::CPPTYPE_UINT64:
    case Field::CPPTYPE_INT64:
    case Field::CPPTYPE_UINT32:
    case Field::CPPTYPE_INT32:
      return !field.is_repeated();
    default:
      return false;
  }
}

uint64_t integer(const Message& message, const Field& field) {
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

Codec::Codec(const protocol::Call& call) {
  const auto& message = *wire::VmiMessage::descriptor();
  request_ = message.FindFieldByNumber(call.number);
  answer_ = message.FindFieldByNumber(call.answer_number());
  empty_ = google::protobuf::MessageFactory::generated_factory()->GetPrototype(request_->message_type());
  for (int i = 0; i < request_->message_type()->field_count(); ++i) {
    const Field* field = request_->message_type()->field(i);
    request_fields_.push_back(field);
    numbers_.push_back(meaning_of(kNumbers, field->name()));
    texts_.push_back(meaning_of(kTexts, field->name()));
    if (field->name() == "link") link_ = field;
  }
  const auto& answer = *answer_->message_type();
  for (int i = 0; i < answer.field_count(); ++i) answer_fields_.push_back(answer.field(i));
  status_ = answer.FindFieldByName("status");
  reason_ = answer.FindFieldByName("reason");
  bytes_ = answer.FindFieldByName(call.answer == protocol::Answer::Written ? "bytes_written" : "bytes_read");
  for (const char* name : kValueFields)
    if (value_ == nullptr) value_ = answer.FindFieldByName(name);
}

const Codec::Message& Codec::request(const wire::VmiMessage& message, int index) const {
  const auto& reflection = *message.GetReflection();
  if (!request_->is_repeated()) return reflection.GetMessage(message, request_);
  return index < reflection.FieldSize(message, request_)
             ? reflection.GetRepeatedMessage(message, request_, index)
             : *empty_;
}

Codec::Message& Codec::add_answer(wire::VmiMessage& message) const {
  const auto& reflection = *message.GetReflection();
  return answer_->is_repeated() ? *reflection.AddMessage(&message, answer_)
                                : *reflection.MutableMessage(&message, answer_);
}

Arguments Codec::decode(const Message& request) const {
  Arguments arguments;
  const auto& reflection = *request.GetReflection();
  for (size_t i = 0; i < request_fields_.size(); ++i) {
    const Field* field = request_fields_[i];
    if (!reflection.HasField(request, field)) continue;
    std::string unused;
    if (numbers_[i]) arguments.set(*numbers_[i], integer(request, *field));
    if (texts_[i]) arguments.set(*texts_[i], reflection.GetStringReference(request, field, &unused));
  }
  return arguments;
}

void Codec::encode(Reply reply, Message& answer) const {
  const auto& reflection = *answer.GetReflection();
  if (status_ != nullptr) reflection.SetInt32(&answer, status_, reply.error ? 1 : 0);
  if (bytes_ != nullptr && reply.bytes) reflection.SetInt64(&answer, bytes_, *reply.bytes);
  if (reason_ != nullptr && reply.error)
    reflection.SetString(&answer, reason_, valid_utf8(reply.error->message()));
  if (reason_ != nullptr && !reply.error && !reply.note.empty())
    reflection.SetString(&answer, reason_, reply.note);
  if (const auto* structure = std::get_if<guest::Structure>(&reply.value)) set_structure(answer, *structure);
  if (value_ == nullptr) return;
  if (const auto* value = std::get_if<uint64_t>(&reply.value)) set_integer(answer, *value_, *value);
  if (auto* value = std::get_if<std::string>(&reply.value))
    reflection.SetString(&answer, value_, std::move(*value));
  if (const auto* value = std::get_if<std::vector<guest::Process>>(&reply.value))
    for (const guest::Process& process : *value) add_process(answer, *value_, process);
}

std::optional<Number> Codec::number_of(size_t field) const {
  return field < numbers_.size() && is_integer(*request_fields_[field]) ? numbers_[field] : std::nullopt;
}

}  // namespace furnace::vmi
