#include "vmi/calls/codec.h"

#include <google/protobuf/io/coded_stream.h>
#include <google/protobuf/wire_format_lite.h>

#include <algorithm>

#include "base/bytes.h"
#include "protocol/error_code.h"

namespace furnace::vmi {
namespace {

using Field = google::protobuf::FieldDescriptor;
using Message = google::protobuf::Message;
using google::protobuf::internal::WireFormatLite;
using google::protobuf::io::CodedOutputStream;

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
/// Where an answer's value goes: the first of these fields that the message has.
constexpr std::array<const char*, 5> kValueFields = {"value", "result", "identifier", "process", "state"};

template <typename Meaning, size_t N>
std::optional<Meaning> meaning_of(const std::array<Name<Meaning>, N>& names, std::string_view field) {
  const auto found =
      std::find_if(names.begin(), names.end(), [&](const auto& name) { return name.field == field; });
  if (found == names.end()) return std::nullopt;
  return found->meaning;
}

// The wire format of protocol buffers, of a message whose fields are known one by one.
constexpr size_t kLongestNumber = 15;  // a tag and a varint

size_t text_size(const Field& field, size_t size) {
  return WireFormatLite::TagSize(field.number(), WireFormatLite::TYPE_BYTES) +
         CodedOutputStream::VarintSize64(size) + size;
}
size_t number_size(const Field& field, uint64_t value) {
  return WireFormatLite::TagSize(field.number(), WireFormatLite::TYPE_UINT64) +
         CodedOutputStream::VarintSize64(value);
}
uint8_t* put_number(const Field& field, uint64_t value, uint8_t* to) {
  to = CodedOutputStream::WriteTagToArray(
      WireFormatLite::MakeTag(field.number(), WireFormatLite::WIRETYPE_VARINT), to);
  return CodedOutputStream::WriteVarint64ToArray(value, to);
}
/// Tag and length of a text, bytes or message field.
uint8_t* put_length(const Field& field, uint64_t size, uint8_t* to) {
  to = CodedOutputStream::WriteTagToArray(
      WireFormatLite::MakeTag(field.number(), WireFormatLite::WIRETYPE_LENGTH_DELIMITED), to);
  return CodedOutputStream::WriteVarint64ToArray(size, to);
}
uint8_t* put_text(const Field& field, std::string_view text, uint8_t* to) {
  to = put_length(field, text.size(), to);
  return std::copy(text.begin(), text.end(), to);
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

void set_processes(Message& message, const std::vector<guest::Process>& processes) {
  auto& answer = static_cast<wire::ProcessListRet&>(message);
  for (const guest::Process& process : processes) {
    wire::Process& added = *answer.add_process();
    added.set_pid(process.pid);
    added.set_name(process.name);
    added.set_process_block_ptr(process.task.value);
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
  empty_answer_ =
      google::protobuf::MessageFactory::generated_factory()->GetPrototype(answer_->message_type());
  for (int i = 0; i < answer.field_count(); ++i) answer_fields_.push_back(answer.field(i));
  status_ = answer.FindFieldByName("status");
  reason_ = answer.FindFieldByName("reason");
  code_ = answer.FindFieldByName("code");
  bytes_ = answer.FindFieldByName(call.answer == protocol::Answer::Written ? "bytes_written" : "bytes_read");
  for (const ReadDecoder& decoder : kReadDecoders)
    if (decoder.descriptor() == request_->message_type()) read_decoder_ = &decoder;
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

const wire::Linkage* Codec::link(const Message& request) const {
  if (read_decoder_ != nullptr) return read_decoder_->link(request);
  const auto& reflection = *request.GetReflection();
  if (link_ == nullptr || !reflection.HasField(request, link_)) return nullptr;
  return static_cast<const wire::Linkage*>(&reflection.GetMessage(request, link_));
}

Arguments Codec::decode(const Message& request) const {
  Arguments arguments;
  if (read_decoder_ != nullptr) {
    read_decoder_->decode(request, arguments);
    return arguments;
  }
  const auto& reflection = *request.GetReflection();
  for (size_t i = 0; i < request_fields_.size(); ++i) {
    const Field* field = request_fields_[i];
    if ((!numbers_[i] && !texts_[i]) || !reflection.HasField(request, field)) continue;
    if (numbers_[i]) {
      arguments.set(*numbers_[i], integer(request, *field));
    } else {
      std::string unused;
      arguments.set(*texts_[i], reflection.GetStringReference(request, field, &unused));
    }
  }
  return arguments;
}

uint64_t Answered::integer(const Field& field) const {
  if (&field == codec->status_) return static_cast<uint64_t>(int64_t{status});
  if (&field == codec->bytes_) return static_cast<uint64_t>(bytes);
  return &field == codec->value_ ? fitted(field, value) : 0;
}

Answered Codec::encode(Reply reply, AnswerBuffer& out) const {
  Answered answered{this, 0, reply.bytes.value_or(0), reply.error ? 1 : 0};
  if (const auto* structure = std::get_if<guest::Structure>(&reply.value)) answered.value = structure->size;
  if (std::holds_alternative<std::vector<guest::Process>>(reply.value) ||
      std::holds_alternative<guest::Structure>(reply.value)) {
    encode_list(reply, out);
    return answered;
  }
  const auto* number = std::get_if<uint64_t>(&reply.value);
  const auto* text = std::get_if<std::string>(&reply.value);
  const std::string reason = reply.error ? valid_utf8(reply.error->message()) : reply.note;
  if (number != nullptr) answered.value = *number;
  const uint64_t code = reply.error && code_ != nullptr ? protocol::code_of(reply.error->code()) : 0;
  size_t size = 0;
  if (status_ != nullptr) size += number_size(*status_, static_cast<uint64_t>(answered.status));
  if (bytes_ != nullptr && reply.bytes) size += number_size(*bytes_, static_cast<uint64_t>(*reply.bytes));
  if (value_ != nullptr && number != nullptr) size += number_size(*value_, fitted(*value_, *number));
  if (value_ != nullptr && text != nullptr) size += text_size(*value_, text->size());
  if (reason_ != nullptr && !reason.empty()) size += text_size(*reason_, reason.size());
  if (code != 0) size += number_size(*code_, code);

  uint8_t* const start = out.room(size + kLongestNumber);
  uint8_t* to = put_length(*answer_, size, start);
  if (status_ != nullptr) to = put_number(*status_, static_cast<uint64_t>(answered.status), to);
  if (bytes_ != nullptr && reply.bytes) to = put_number(*bytes_, static_cast<uint64_t>(*reply.bytes), to);
  if (value_ != nullptr && number != nullptr) to = put_number(*value_, fitted(*value_, *number), to);
  if (value_ != nullptr && text != nullptr) to = put_text(*value_, *text, to);
  if (reason_ != nullptr && !reason.empty()) to = put_text(*reason_, reason, to);
  if (code != 0) to = put_number(*code_, code, to);
  out.commit(static_cast<size_t>(to - start));
  return answered;
}

/// Answers of many parts, made as messages first.
void Codec::encode_list(const Reply& reply, AnswerBuffer& out) const {
  const std::unique_ptr<Message> message(empty_answer_->New());
  if (const auto* processes = std::get_if<std::vector<guest::Process>>(&reply.value))
    set_processes(*message, *processes);
  if (const auto* structure = std::get_if<guest::Structure>(&reply.value))
    set_structure(*message, *structure);
  message->GetReflection()->SetInt32(message.get(), status_, 0);
  const size_t size = message->ByteSizeLong();
  uint8_t* const start = out.room(size + kLongestNumber);
  uint8_t* const body = put_length(*answer_, size, start);
  uint8_t* const end = message->SerializeWithCachedSizesToArray(body);
  out.commit(static_cast<size_t>(end - start));
}

std::span<std::byte> Codec::room_for_bytes(size_t count, AnswerBuffer& out) const {
  const size_t size = number_size(*status_, 0) + number_size(*bytes_, count) + text_size(*value_, count);
  uint8_t* to = put_length(*answer_, size, out.room(size + kLongestNumber));
  to = put_number(*status_, 0, to);
  to = put_number(*bytes_, count, to);
  to = put_length(*value_, count, to);
  return {reinterpret_cast<std::byte*>(to), count};
}

Answered Codec::encode_filled(std::span<const std::byte> room, AnswerBuffer& out) const {
  const auto* const start = reinterpret_cast<const std::byte*>(out.at(out.size()));
  out.commit(static_cast<size_t>(room.data() + room.size() - start));
  return {this, 0, static_cast<int64_t>(room.size()), 0};
}

std::optional<Number> Codec::number_of(size_t field) const {
  return field < numbers_.size() && is_integer(*request_fields_[field]) ? numbers_[field] : std::nullopt;
}

}  // namespace furnace::vmi
