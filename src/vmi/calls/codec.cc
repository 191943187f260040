#include "vmi/calls/codec.h"

#include <algorithm>

#include "base/bytes.h"
#include "protocol/error_code.h"
#include "protocol/wire_writer.h"

namespace furnace::vmi {
namespace {

using Field = google::protobuf::FieldDescriptor;
using Message = google::protobuf::Message;
using protocol::kLongestNumber;
using protocol::number_size;
using protocol::put_length;
using protocol::put_number;
using protocol::put_text;
using protocol::text_size;

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
    Name<Number>{"gva", Number::WatchAddress},
    Name<Number>{"gpa", Number::WatchPhysical},
    Name<Number>{"length", Number::WatchLength},
    Name<Number>{"access", Number::WatchAccess},
    Name<Number>{"uid", Number::Uid},
    Name<Number>{"number", Number::SyscallNumber},
    Name<Number>{"returns", Number::Returns},
    Name<Number>{"notices", Number::Notices},
    Name<Number>{"gathers", Number::Gathers},
};
constexpr std::array kTexts = {
    Name<Text>{"symbol", Text::Symbol},          Name<Text>{"symbol_name", Text::Symbol},
    Name<Text>{"structure_name", Text::Symbol},  Name<Text>{"structure_key", Text::Member},
    Name<Text>{"buffer", Text::Buffer},          Name<Text>{"reg", Text::Register},
    Name<Text>{"bp_name", Text::BreakpointName},
};
template <typename Meaning, size_t N>
std::optional<Meaning> meaning_of(const std::array<Name<Meaning>, N>& names, std::string_view field) {
  const auto found =
      std::find_if(names.begin(), names.end(), [&](const auto& name) { return name.field == field; });
  if (found == names.end()) return std::nullopt;
  return found->meaning;
}

/// A result as wide as its field.
uint64_t fitted(const Field& field, uint64_t value) {
  switch (field.cpp_type()) {
    case Field::CPPTYPE_UINT32:
      return static_cast<uint32_t>(value);
    case Field::CPPTYPE_INT32:
      return static_cast<uint64_t>(static_cast<int64_t>(static_cast<int32_t>(value)));
    default:
      return value;
  }
}

void set_processes(Message& message, const guest::ProcessList& list) {
  auto& answer = static_cast<wire::ProcessListRet&>(message);
  if (!list.gap.empty()) answer.set_gap(valid_utf8(list.gap));
  for (const guest::Process& process : list.processes) {
    wire::Process& added = *answer.add_process();
    added.set_pid(process.pid);
    added.set_name(process.name);
    added.set_process_block_ptr(process.task.value);
    if (process.unread != 0) added.set_problem(valid_utf8(process.problem));
  }
}

void set_structure(Message& message, const guest::Structure& structure) {
  auto& answer = static_cast<wire::DescribeStructureRet&>(message);
  answer.set_size(structure.size);
  for (const guest::StructureMember& member : structure.members) {
    wire::StructureMember& added = *answer.add_member();
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

/// The arguments of a read of a number by the generated accessors: reflection costs more than the read
/// itself.
struct ReadDecoder {
  const google::protobuf::Descriptor* (*descriptor)();
  void (*decode)(const Message& request, Arguments& arguments);
  const wire::Linkage* (*link)(const Message& request);
};

namespace {

template <typename Request>
constexpr ReadDecoder read_decoder() {
  return {Request::descriptor,
          [](const Message& message, Arguments& arguments) {
            const auto& request = static_cast<const Request&>(message);
            if constexpr (requires { request.vaddr(); }) {
              if (request.has_vaddr()) arguments.set(Number::Address, request.vaddr());
              if (request.has_pid())
                arguments.set(Number::Pid, static_cast<uint64_t>(int64_t{request.pid()}));
            } else {
              if (request.has_paddr()) arguments.set(Number::Address, request.paddr());
            }
          },
          [](const Message& message) -> const wire::Linkage* {
            const auto& request = static_cast<const Request&>(message);
            return request.has_link() ? &request.link() : nullptr;
          }};
}

constexpr std::array kReadDecoders = {
    read_decoder<wire::Read8Va>(),    read_decoder<wire::Read16Va>(),   read_decoder<wire::Read32Va>(),
    read_decoder<wire::Read64Va>(),   read_decoder<wire::ReadAddrVa>(), read_decoder<wire::Read8Pa>(),
    read_decoder<wire::Read16Pa>(),   read_decoder<wire::Read32Pa>(),   read_decoder<wire::Read64Pa>(),
    read_decoder<wire::ReadAddrPa>(),
};

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

Codec::Codec(const protocol::Call& call) : schema_(protocol::schema_of(call)) {
  auto& factory = *google::protobuf::MessageFactory::generated_factory();
  empty_ = factory.GetPrototype(schema_.request->message_type());
  empty_answer_ = factory.GetPrototype(schema_.answer->message_type());
  for (const Field* field : schema_.request_fields) {
    numbers_.push_back(meaning_of(kNumbers, field->name()));
    texts_.push_back(meaning_of(kTexts, field->name()));
  }
  for (const ReadDecoder& decoder : kReadDecoders)
    if (decoder.descriptor() == schema_.request->message_type()) read_decoder_ = &decoder;
}

const Codec::Message& Codec::request(const wire::VmiMessage& message, int index) const {
  const auto& reflection = *message.GetReflection();
  if (!schema_.request->is_repeated()) return reflection.GetMessage(message, schema_.request);
  return index < reflection.FieldSize(message, schema_.request)
             ? reflection.GetRepeatedMessage(message, schema_.request, index)
             : *empty_;
}

const wire::Linkage* Codec::link(const Message& request) const {
  if (read_decoder_ != nullptr) return read_decoder_->link(request);
  const auto& reflection = *request.GetReflection();
  if (schema_.link == nullptr || !reflection.HasField(request, schema_.link)) return nullptr;
  return static_cast<const wire::Linkage*>(&reflection.GetMessage(request, schema_.link));
}

Arguments Codec::decode(const Message& request) const {
  Arguments arguments;
  if (read_decoder_ != nullptr) {
    read_decoder_->decode(request, arguments);
    return arguments;
  }
  const auto& reflection = *request.GetReflection();
  for (size_t i = 0; i < schema_.request_fields.size(); ++i) {
    const Field* field = schema_.request_fields[i];
    if ((!numbers_[i] && !texts_[i]) || !reflection.HasField(request, field)) continue;
    if (numbers_[i]) {
      arguments.set(*numbers_[i], protocol::integer(request, *field));
    } else {
      std::string unused;
      arguments.set(*texts_[i], reflection.GetStringReference(request, field, &unused));
    }
  }
  return arguments;
}

uint64_t EncodedAnswer::integer(const Field& field) const {
  if (&field == codec->schema_.status) return static_cast<uint64_t>(int64_t{status});
  if (&field == codec->schema_.bytes) return static_cast<uint64_t>(bytes);
  return &field == codec->schema_.value ? fitted(field, value) : 0;
}

EncodedAnswer Codec::encode(const Reply& reply, AnswerBuffer& out) const {
  EncodedAnswer answered{this, 0, reply.bytes.value_or(0), reply.error ? 1 : 0};
  if (const auto* structure = std::get_if<guest::Structure>(&reply.value)) answered.value = structure->size;
  if (std::holds_alternative<guest::ProcessList>(reply.value) ||
      std::holds_alternative<guest::Structure>(reply.value)) {
    encode_list(reply, out);
    return answered;
  }
  const auto* number = std::get_if<uint64_t>(&reply.value);
  const auto* text = std::get_if<std::string>(&reply.value);
  const std::string reason = reply.error ? valid_utf8(reply.error->message()) : reply.note;
  if (number != nullptr) answered.value = *number;
  const uint64_t code = reply.error && schema_.code != nullptr ? protocol::code_of(reply.error->code()) : 0;
  size_t size = 0;
  if (schema_.status != nullptr)
    size += number_size(schema_.status->number(), static_cast<uint64_t>(answered.status));
  if (schema_.bytes != nullptr && reply.bytes)
    size += number_size(schema_.bytes->number(), static_cast<uint64_t>(*reply.bytes));
  if (schema_.value != nullptr && number != nullptr)
    size += number_size(schema_.value->number(), fitted(*schema_.value, *number));
  if (schema_.value != nullptr && text != nullptr) size += text_size(schema_.value->number(), text->size());
  if (schema_.reason != nullptr && !reason.empty())
    size += text_size(schema_.reason->number(), reason.size());
  if (code != 0) size += number_size(schema_.code->number(), code);

  uint8_t* const start = out.room(size + kLongestNumber);
  uint8_t* to = put_length(schema_.answer->number(), size, start);
  if (schema_.status != nullptr)
    to = put_number(schema_.status->number(), static_cast<uint64_t>(answered.status), to);
  if (schema_.bytes != nullptr && reply.bytes)
    to = put_number(schema_.bytes->number(), static_cast<uint64_t>(*reply.bytes), to);
  if (schema_.value != nullptr && number != nullptr)
    to = put_number(schema_.value->number(), fitted(*schema_.value, *number), to);
  if (schema_.value != nullptr && text != nullptr) to = put_text(schema_.value->number(), *text, to);
  if (schema_.reason != nullptr && !reason.empty()) to = put_text(schema_.reason->number(), reason, to);
  if (code != 0) to = put_number(schema_.code->number(), code, to);
  out.commit(static_cast<size_t>(to - start));
  return answered;
}

/// Answers of many parts, made as messages first.
void Codec::encode_list(const Reply& reply, AnswerBuffer& out) const {
  const std::unique_ptr<Message> message(empty_answer_->New());
  if (const auto* processes = std::get_if<guest::ProcessList>(&reply.value))
    set_processes(*message, *processes);
  if (const auto* structure = std::get_if<guest::Structure>(&reply.value))
    set_structure(*message, *structure);
  message->GetReflection()->SetInt32(message.get(), schema_.status, 0);
  const size_t size = message->ByteSizeLong();
  uint8_t* const start = out.room(size + kLongestNumber);
  uint8_t* const body = put_length(schema_.answer->number(), size, start);
  uint8_t* const end = message->SerializeWithCachedSizesToArray(body);
  out.commit(static_cast<size_t>(end - start));
}

std::span<std::byte> Codec::room_for_bytes(size_t count, AnswerBuffer& out) const {
  const size_t size = number_size(schema_.status->number(), 0) + number_size(schema_.bytes->number(), count) +
                      text_size(schema_.value->number(), count);
  uint8_t* to = put_length(schema_.answer->number(), size, out.room(size + kLongestNumber));
  to = put_number(schema_.status->number(), 0, to);
  to = put_number(schema_.bytes->number(), count, to);
  to = put_length(schema_.value->number(), count, to);
  return {reinterpret_cast<std::byte*>(to), count};
}

EncodedAnswer Codec::encode_filled(std::span<const std::byte> room, AnswerBuffer& out) const {
  const auto* const start = reinterpret_cast<const std::byte*>(out.at(out.size()));
  out.commit(static_cast<size_t>(room.data() + room.size() - start));
  return {this, 0, static_cast<int64_t>(room.size()), 0};
}

std::optional<Number> Codec::number_of(size_t field) const {
  return field < numbers_.size() && is_integer(*schema_.request_fields[field]) ? numbers_[field]
                                                                               : std::nullopt;
}

}  // namespace furnace::vmi
