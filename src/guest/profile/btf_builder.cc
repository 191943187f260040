#include "guest/profile/btf_builder.h"

#include <algorithm>
#include <cstring>
#include <span>

#include "base/bytes.h"

namespace furnace::guest {

uint32_t BtfBuilder::add_string(std::string_view text) {
  if (text.empty()) return 0;
  const auto offset = static_cast<uint32_t>(strings_.size());
  strings_ += text;
  strings_ += '\0';
  return offset;
}

void BtfBuilder::append(uint32_t value) {
  const auto bytes = std::as_bytes(std::span(&value, 1));
  types_.insert(types_.end(), bytes.begin(), bytes.end());
}

void BtfBuilder::add_type(std::string_view name, uint32_t kind, uint32_t vlen, uint32_t size) {
  append(add_string(name));
  append(kind << 24 | vlen);
  append(size);
  ++count_;
}

uint32_t BtfBuilder::add_int(std::string_view name, uint32_t bytes) {
  constexpr uint32_t kind_int = 1;
  add_type(name, kind_int, 0, bytes);
  append(bytes * 8);
  return count_;
}

uint32_t BtfBuilder::add_struct(std::string_view name, uint32_t bytes, const std::vector<Member>& members) {
  constexpr uint32_t kind_struct = 4;
  add_type(name, kind_struct, static_cast<uint32_t>(members.size()), bytes);
  for (const Member& member : members) {
    append(add_string(member.name));
    append(member.type);
    append(member.byte_offset * 8);
  }
  return count_;
}

std::vector<std::byte> BtfBuilder::build() const {
  struct Header {
    uint16_t magic = 0xeb9f;
    uint8_t version = 1, flags = 0;
    uint32_t header_length = 24, type_offset = 0, type_length = 0, string_offset = 0, string_length = 0;
  };
  Header header;
  header.type_length = header.string_offset = static_cast<uint32_t>(types_.size());
  header.string_length = static_cast<uint32_t>(strings_.size());
  const auto strings = as_bytes(strings_);
  std::vector<std::byte> blob(sizeof header + types_.size() + strings.size());
  std::memcpy(blob.data(), &header, sizeof header);
  std::copy(types_.begin(), types_.end(), blob.begin() + sizeof header);
  std::copy(strings.begin(), strings.end(), blob.end() - static_cast<ptrdiff_t>(strings.size()));
  return blob;
}

}  // namespace furnace::guest
