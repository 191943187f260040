#include "protocol/message_bounds.h"

#include <google/protobuf/wire_format.h>

#include <algorithm>

#include "base/bytes.h"
#include "base/enum_table.h"
#include "protocol/calls.h"

namespace furnace::protocol {
namespace {

using google::protobuf::Descriptor;
using google::protobuf::FieldDescriptor;
using google::protobuf::internal::WireFormat;
using google::protobuf::internal::WireFormatLite;

constexpr size_t kMaxBytes = kMaxMessageSize;

// A batch of 1000 calls, each with its link, and room for fields to come. Messages of FAC hold up to 10,000
// calls on its storage; a message to or of a backend is one.
constexpr Bounds kVmi{.bytes = kMaxBytes, .messages = 2500, .fields = 32'000, .unknown = 4'000, .depth = 4};
constexpr Bounds kFac{.bytes = kMaxBytes, .messages = 20'000, .fields = 80'000, .unknown = 1'000, .depth = 2};
constexpr Bounds kBeMsg{.bytes = kMaxBytes, .messages = 0, .fields = 100, .unknown = 50, .depth = 0};

template <typename Message>
Flaw parse_within(const MessageBounds& bounds, std::string_view bytes, Message& message) {
  if (const Flaw flaw = bounds.check(as_bytes(bytes)); flaw != Flaw::None) return flaw;
  return message.ParseFromArray(bytes.data(), static_cast<int>(bytes.size())) ? Flaw::None : Flaw::Malformed;
}

}  // namespace

std::string_view to_text(Flaw flaw) {
  constexpr EnumTable<Flaw, std::string_view> texts({
      {Flaw::None, "is well"},
      {Flaw::Malformed, "is malformed"},
      {Flaw::Bytes, "is too large"},
      {Flaw::Messages, "holds too many sub-messages"},
      {Flaw::Fields, "holds too many fields"},
      {Flaw::Unknown, "holds too many fields that are not known here"},
      {Flaw::Depth, "has sub-messages too deep in each other"},
  });
  return texts[flaw];
}

MessageBounds::MessageBounds(const Descriptor& type, const Bounds& most) : most_(most) {
  std::map<const Descriptor*, int16_t> known;
  add(type, known);
}

int16_t MessageBounds::add(const Descriptor& type, std::map<const Descriptor*, int16_t>& known) {
  const auto index = static_cast<int16_t>(types_.size());
  if (const auto [found, is_new] = known.emplace(&type, index); !is_new) return found->second;
  types_.emplace_back();
  Type fields;
  for (int i = 0; i < type.field_count(); ++i) {
    const FieldDescriptor& field = *type.field(i);
    const auto number = static_cast<size_t>(field.number());
    if (fields.size() <= number) fields.resize(number + 1, Field{kUnknown});
    fields[number] = {static_cast<uint8_t>(WireFormat::WireTypeForFieldType(field.type())),
                      field.is_packable(),
                      field.message_type() != nullptr ? add(*field.message_type(), known) : int16_t{-1}};
  }
  types_[static_cast<size_t>(index)] = std::move(fields);
  return index;
}

/// One walk: where it is, and what it has counted.
class MessageBounds::Walk {
 public:
  Walk(const MessageBounds& bounds, std::span<const std::byte> message)
      : types_(bounds.types_),
        most_(bounds.most_),
        at_(reinterpret_cast<const uint8_t*>(message.data())),
        end_(at_ + message.size()) {}

  Flaw run(size_t type, const uint8_t* end, int depth);
  Flaw run() { return run(0, end_, 0); }

 private:
  bool number(const uint8_t* end, uint64_t& value);
  bool skip(const uint8_t* end, uint8_t wire);
  Flaw enter(const Field& field, const uint8_t* end, int depth);
  void count_packed(const uint8_t* end, uint8_t wire);
  [[nodiscard]] Flaw excess() const {
    if (fields_ > most_.fields) return Flaw::Fields;
    return unknown_ > most_.unknown ? Flaw::Unknown : Flaw::None;
  }

  const std::vector<Type>& types_;
  const Bounds& most_;
  const uint8_t* at_;
  const uint8_t* end_;
  size_t messages_ = 0, fields_ = 0, unknown_ = 0;
};

bool MessageBounds::Walk::number(const uint8_t* end, uint64_t& value) {
  value = 0;
  constexpr int most_bits = 64, bits = 7;
  for (int shift = 0; shift < most_bits && at_ < end; shift += bits) {
    const uint8_t byte = *at_++;
    value |= static_cast<uint64_t>(byte & 0x7fU) << shift;
    if (byte < 0x80U) return true;
  }
  return false;
}

/// Over a value that is no sub-message. Groups are part of no message here.
bool MessageBounds::Walk::skip(const uint8_t* end, uint8_t wire) {
  uint64_t size = 0;
  switch (wire) {
    case WireFormatLite::WIRETYPE_VARINT:
      return number(end, size);
    case WireFormatLite::WIRETYPE_FIXED32:
      size = sizeof(uint32_t);
      break;
    case WireFormatLite::WIRETYPE_FIXED64:
      size = sizeof(uint64_t);
      break;
    case WireFormatLite::WIRETYPE_LENGTH_DELIMITED:
      if (!number(end, size)) return false;
      break;
    default:
      return false;
  }
  if (size > static_cast<size_t>(end - at_)) return false;
  at_ += size;
  return true;
}

void MessageBounds::Walk::count_packed(const uint8_t* end, uint8_t wire) {
  const auto size = static_cast<size_t>(end - at_);
  if (wire == WireFormatLite::WIRETYPE_VARINT) {
    fields_ += static_cast<size_t>(std::count_if(at_, end, [](uint8_t byte) { return byte < 0x80U; }));
  } else {
    fields_ += size / sizeof(uint32_t);
  }
  at_ = end;
}

/// A sub-message or a packed field: what says its length.
Flaw MessageBounds::Walk::enter(const Field& field, const uint8_t* end, int depth) {
  uint64_t size = 0;
  if (!number(end, size) || size > static_cast<size_t>(end - at_)) return Flaw::Malformed;
  if (field.type < 0) {
    count_packed(at_ + size, field.wire);
    return Flaw::None;
  }
  if (++messages_ > most_.messages) return Flaw::Messages;
  return run(static_cast<size_t>(field.type), at_ + size, depth + 1);
}

Flaw MessageBounds::Walk::run(size_t type, const uint8_t* end, int depth) {
  if (depth > most_.depth) return Flaw::Depth;
  const Type& fields = types_[type];
  while (at_ < end) {
    uint64_t tag = 0;
    constexpr uint64_t wire_mask = 7, wire_bits = 3;
    if (!number(end, tag) || tag > UINT32_MAX || tag >> wire_bits == 0) return Flaw::Malformed;
    const auto wire = static_cast<uint8_t>(tag & wire_mask);
    const uint64_t field_number = tag >> wire_bits;
    const Field field = field_number < fields.size() ? fields[field_number] : Field{kUnknown};
    const bool is_packed = field.may_be_packed && wire == WireFormatLite::WIRETYPE_LENGTH_DELIMITED;
    const bool is_known = field.wire == wire || is_packed;
    ++fields_;
    if (!is_known) ++unknown_;
    if (const Flaw flaw = excess(); flaw != Flaw::None) return flaw;
    if (is_known && (field.type >= 0 || is_packed)) {
      if (const Flaw flaw = enter(field, end, depth); flaw != Flaw::None) return flaw;
    } else if (!skip(end, wire)) {
      return Flaw::Malformed;
    }
  }
  return excess();
}

Flaw MessageBounds::check(std::span<const std::byte> message) const {
  if (message.empty()) return Flaw::Malformed;
  if (message.size() > most_.bytes) return Flaw::Bytes;
  return Walk(*this, message).run();
}

Flaw parse(std::string_view bytes, wire::VmiMessage& message) {
  static const MessageBounds bounds(*wire::VmiMessage::descriptor(), kVmi);
  return parse_within(bounds, bytes, message);
}

Flaw parse(std::string_view bytes, facilities::FacMessage& message) {
  static const MessageBounds bounds(*facilities::FacMessage::descriptor(), kFac);
  return parse_within(bounds, bytes, message);
}

Flaw parse(std::string_view bytes, facilities::BeMsg& message) {
  static const MessageBounds bounds(*facilities::BeMsg::descriptor(), kBeMsg);
  return parse_within(bounds, bytes, message);
}

}  // namespace furnace::protocol
