#include "guest/profile/btf_builder.h"

#include <algorithm>
#include <cstring>
#include <span>

#include "base/bytes.h"
#include "guest/profile/btf_kinds.h"

namespace furnace::guest {
namespace {

constexpr uint32_t kKindFlag = 1U << 31;
constexpr uint32_t kIntSigned = 1U << 24;
constexpr uint32_t kMaxVlen = 0xffff;

}  // namespace

void BtfBuilder::reserve(size_t records) {
  constexpr size_t types_per_record = 3, names_per_record = 6;  // in a Linux kernel, generously
  types_.reserve(types_per_record * records);
  known_strings_.reserve(names_per_record * records);
}

uint32_t BtfBuilder::add_string(std::string_view text) {
  if (text.empty()) return 0;
  if (const auto known = known_strings_.find(text); known != known_strings_.end()) return known->second;
  const auto offset = static_cast<uint32_t>(strings_.size());
  known_strings_.emplace(text, offset);
  strings_.append(text).push_back('\0');
  return offset;
}

uint32_t BtfBuilder::add(std::string_view name, uint32_t kind, uint32_t size,
                         std::initializer_list<uint32_t> tail) {
  const uint32_t name_offset = add_string(name);
  std::array<uint32_t, 6> key{name_offset, kind, size};
  std::copy_n(tail.begin(), std::min<size_t>(tail.size(), 3), key.begin() + 3);
  const auto [known, fresh] = known_types_.try_emplace(key, static_cast<uint32_t>(types_.size() + 1));
  if (fresh) {
    types_.push_back({name_offset, kind << 24, size, tails_.size(), tail.size()});
    tails_.insert(tails_.end(), tail);
  }
  return known->second;
}

uint32_t BtfBuilder::add_int(std::string_view name, uint32_t bytes, bool is_signed) {
  return add(name, btf::kInt, bytes, {(is_signed ? kIntSigned : 0) | bytes * 8});
}

uint32_t BtfBuilder::add_enum(std::string_view name, uint32_t bytes) {
  return add(name, btf::kEnum, bytes, {});
}

uint32_t BtfBuilder::add_pointer(uint32_t target) {
  return add("", btf::kPtr, target, {});
}

uint32_t BtfBuilder::add_array(uint32_t element, uint32_t count) {
  const uint32_t index = add_int("__ARRAY_SIZE_TYPE__", 4);
  return add("", btf::kArray, 0, {element, index, count});
}

uint32_t BtfBuilder::declare_record() {
  types_.push_back({0, btf::kStruct << 24, 0, 0, 0});
  return static_cast<uint32_t>(types_.size());
}

Status BtfBuilder::define_record(uint32_t id, Record kind, std::string_view name, uint64_t bytes,
                                 const std::vector<Member>& members) {
  const bool bit_fields =
      std::any_of(members.begin(), members.end(), [](const Member& member) { return member.bit_size != 0; });
  const uint64_t limit = bit_fields ? 1U << 24 : 1ULL << 32;  // bits of an offset
  if (members.size() > kMaxVlen || bytes >> 32 != 0)
    return fail(Errc::Invalid, "structure '{}': {} members in {} bytes are more than BTF holds", name,
                members.size(), bytes);
  const size_t tail = tails_.size();
  for (const Member& member : members) {
    if (member.byte_offset >= limit / 8 || member.byte_offset * 8 + member.bit >= limit ||
        member.bit_size > 255)
      return fail(Errc::Invalid, "structure '{}': offset {} of member '{}' is too large", name,
                  member.byte_offset, member.name);
    tails_.push_back(add_string(member.name));
    tails_.push_back(member.type);
    tails_.push_back(static_cast<uint32_t>(member.byte_offset * 8 + member.bit) | member.bit_size << 24);
  }
  types_[id - 1] = {add_string(name),
                    (bit_fields ? kKindFlag : 0) | static_cast<uint32_t>(kind) << 24 |
                        static_cast<uint32_t>(members.size()),
                    static_cast<uint32_t>(bytes), tail, tails_.size() - tail};
  return {};
}

uint32_t BtfBuilder::add_struct(std::string_view name, uint32_t bytes, const std::vector<Member>& members) {
  const uint32_t id = declare_record();
  (void)define_record(id, Record::Struct, name, bytes, members);
  return id;
}

std::vector<std::byte> BtfBuilder::build() const {
  struct Header {
    uint16_t magic = 0xeb9f;
    uint8_t version = 1, flags = 0;
    uint32_t header_length = 24, type_offset = 0, type_length = 0, string_offset = 0, string_length = 0;
  };
  std::vector<uint32_t> words;
  size_t total = 0;
  for (const Type& type : types_) total += 3 + type.tail_words;
  words.reserve(total);
  for (const Type& type : types_) {
    words.insert(words.end(), {type.name, type.info, type.size});
    const auto tail = tails_.begin() + static_cast<ptrdiff_t>(type.tail);
    words.insert(words.end(), tail, tail + static_cast<ptrdiff_t>(type.tail_words));
  }
  const auto type_bytes = std::as_bytes(std::span(words));
  const auto strings = as_bytes(strings_);
  Header header;
  header.type_length = header.string_offset = static_cast<uint32_t>(type_bytes.size());
  header.string_length = static_cast<uint32_t>(strings.size());
  std::vector<std::byte> blob(sizeof header);
  blob.reserve(sizeof header + type_bytes.size() + strings.size());
  std::memcpy(blob.data(), &header, sizeof header);
  blob.insert(blob.end(), type_bytes.begin(), type_bytes.end());
  blob.insert(blob.end(), strings.begin(), strings.end());
  return blob;
}

}  // namespace furnace::guest
