// The wire format of protocol buffers, field by field: for hot paths, where a message object would cost more
// than the rest. Each function returns where the next field goes.
#pragma once

#include <google/protobuf/io/coded_stream.h>
#include <google/protobuf/wire_format_lite.h>

#include <algorithm>
#include <cstdint>
#include <string_view>

namespace furnace::protocol {

/// Bytes of a tag and a varint, at most.
inline constexpr size_t kLongestNumber = 15;

[[nodiscard]] inline size_t number_size(int field, uint64_t value) {
  using google::protobuf::internal::WireFormatLite;
  return WireFormatLite::TagSize(field, WireFormatLite::TYPE_UINT64) +
         google::protobuf::io::CodedOutputStream::VarintSize64(value);
}

[[nodiscard]] inline size_t text_size(int field, size_t size) {
  using google::protobuf::internal::WireFormatLite;
  return WireFormatLite::TagSize(field, WireFormatLite::TYPE_BYTES) +
         google::protobuf::io::CodedOutputStream::VarintSize64(size) + size;
}

[[nodiscard]] inline uint8_t* put_number(int field, uint64_t value, uint8_t* to) {
  using google::protobuf::internal::WireFormatLite;
  using google::protobuf::io::CodedOutputStream;
  to =
      CodedOutputStream::WriteTagToArray(WireFormatLite::MakeTag(field, WireFormatLite::WIRETYPE_VARINT), to);
  return CodedOutputStream::WriteVarint64ToArray(value, to);
}

/// Tag and length of a text, of bytes or of a message, which follow.
[[nodiscard]] inline uint8_t* put_length(int field, uint64_t size, uint8_t* to) {
  using google::protobuf::internal::WireFormatLite;
  using google::protobuf::io::CodedOutputStream;
  to = CodedOutputStream::WriteTagToArray(
      WireFormatLite::MakeTag(field, WireFormatLite::WIRETYPE_LENGTH_DELIMITED), to);
  return CodedOutputStream::WriteVarint64ToArray(size, to);
}

[[nodiscard]] inline uint8_t* put_text(int field, std::string_view text, uint8_t* to) {
  to = put_length(field, text.size(), to);
  return std::copy(text.begin(), text.end(), to);
}

}  // namespace furnace::protocol
