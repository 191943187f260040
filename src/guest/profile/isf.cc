#include "guest/profile/isf.h"

#include <algorithm>

#include "base/printable.h"
#include "guest/profile/json.h"
#include "guest/profile/json_outline.h"
#include "guest/profile/type_importer.h"

namespace furnace::guest {
namespace {

using json::element;
using json::object;
using Member = BtfBuilder::Member;

class IsfTypes {
 public:
  explicit IsfTypes(TypeImporter& types) : types_(types) {}

  Status read_record(std::string_view name, const element& value) {
    object description;
    object fields;
    if (value.get(description) != simdjson::SUCCESS || description["fields"].get(fields) != simdjson::SUCCESS)
      return fail(Errc::Invalid, "expected an object with 'fields'");
    const auto kind = json::find<std::string_view>(description, "kind");
    FURNACE_TRY(const uint64_t size, json::number(description, "size"));
    members_.clear();
    for (const auto& [member, field] : fields)
      if (auto read = read_member(member, field); !read)
        return fail(read.error(), fmt::format("member '{}'", printable(member.substr(0, 80))));
    return types_.define(name, kind == "union" ? BtfBuilder::Record::Union : BtfBuilder::Record::Struct, size,
                         members_);
  }

  Status read_base(std::string_view name, const element& value) {
    object description;
    if (value.get(description) != simdjson::SUCCESS) return {};
    const uint64_t size = json::number(description, "size").value_or(0);
    const bool is_signed = json::find<bool>(description, "signed").value_or(false);
    constexpr uint64_t max_size = 16;
    if (size != 0 && size <= max_size)
      named_bases_.emplace(name, types_.builder().add_int(name, static_cast<uint32_t>(size), is_signed));
    return {};
  }

  Status read_enum(std::string_view name, const element& value) {
    object description;
    if (value.get(description) != simdjson::SUCCESS) return {};
    const auto size = std::min<uint64_t>(json::number(description, "size").value_or(4), 8);
    named_enums_.emplace(name, types_.builder().add_enum(name, static_cast<uint32_t>(size)));
    return {};
  }

 private:
  Status read_member(std::string_view name, const element& value) {
    object field;
    if (value.get(field) != simdjson::SUCCESS) return fail(Errc::Invalid, "expected an object");
    FURNACE_TRY(const uint64_t offset, json::number(field, "offset"));
    FURNACE_TRY(const object type, json::member<object>(field, "type"));
    Member member{name, 0, offset};
    if (json::find<bool>(field, "anonymous").value_or(false)) member.name = {};
    if (json::find<std::string_view>(type, "kind") == "bitfield") {
      const uint64_t position = json::number(type, "bit_position").value_or(0);
      const uint64_t length = json::number(type, "bit_length").value_or(0);
      if (position > 255 || length == 0 || length > 255)
        return fail(Errc::Invalid, "a bit field of {} bits from bit {}", length, position);
      member.bit = static_cast<uint32_t>(position);
      member.bit_size = static_cast<uint32_t>(length);
    }
    FURNACE_TRY(member.type, type_of(type, 0));
    members_.push_back(member);
    return {};
  }

  Result<uint32_t> nested(const object& type, std::string_view key, int depth) {
    object inner;
    if (type[key].get(inner) != simdjson::SUCCESS) return 0;
    return type_of(inner, depth + 1);
  }

  Result<uint32_t> type_of(const object& type, int depth) {
    if (depth > json::kMaxNesting)
      return fail(Errc::Invalid, "types nested more than {} deep", json::kMaxNesting);
    const auto kind = json::find<std::string_view>(type, "kind");
    if (!kind) return fail(Errc::Invalid, "a type without 'kind'");
    const auto name = json::find<std::string_view>(type, "name").value_or("");
    if (kind == "pointer") {
      FURNACE_TRY(const uint32_t target, nested(type, "subtype", depth));
      return types_.builder().add_pointer(target);
    }
    if (kind == "array") {
      FURNACE_TRY(const uint32_t target, nested(type, "subtype", depth));
      const uint64_t count = json::number(type, "count").value_or(0);
      return types_.builder().add_array(target, static_cast<uint32_t>(std::min<uint64_t>(count, UINT32_MAX)));
    }
    if (kind == "bitfield") return nested(type, "type", depth);
    if (kind == "function") return 0;
    if (kind == "enum") {
      const auto known = named_enums_.find(name);
      return known != named_enums_.end() ? known->second : types_.builder().add_enum(name, 4);
    }
    if (kind == "base")
      if (const auto known = named_bases_.find(name); known != named_bases_.end()) return known->second;
    if (const auto record = types_.find(name)) return *record;
    return kind == "base" ? types_.base(name) : 0;  // a structure that is declared nowhere is opaque
  }

  TypeImporter& types_;
  std::unordered_map<std::string_view, uint32_t> named_bases_, named_enums_;  // names lie in the outline
  std::vector<Member> members_;
};

}  // namespace

Result<ProfileParts> parse_isf(const PaddedText& text) {
  FURNACE_TRY(const json::Outline outline, json::Outline::read(text));
  FURNACE_TRY(const json::Outline::Members* const user_types, outline.section("user_types"));
  FURNACE_TRY(const json::Outline::Members* const symbols, outline.section("symbols"));

  ProfileParts parts;
  FURNACE_CHECK(
      json::for_each("symbols", *symbols, [&](std::string_view name, const element& value) -> Status {
        object description;
        if (value.get(description) != simdjson::SUCCESS) return fail(Errc::Invalid, "expected an object");
        FURNACE_TRY(const uint64_t address, json::number(description, "address"));
        parts.symbols.push_back({std::string(name), address, '?'});
        std::string_view data;
        if (name == "linux_banner" && description["constant_data"].get(data) == simdjson::SUCCESS) {
          const std::string banner = from_base64(data);
          parts.banner = banner.substr(0, banner.find_first_of(std::string_view("\n\0", 2)));
        }
        return {};
      }));
  TypeImporter types;
  IsfTypes reader(types);
  for (const auto& [section, read] :
       {std::pair("base_types", &IsfTypes::read_base), std::pair("enums", &IsfTypes::read_enum)})
    FURNACE_CHECK(json::for_each(section, outline.optional_section(section),
                                 [&, read = read](std::string_view name, const element& value) {
                                   return (reader.*read)(name, value);
                                 }));
  types.reserve(user_types->size());
  for (const auto& [name, value] : *user_types) types.declare(name);
  FURNACE_CHECK(json::for_each("user_types", *user_types, [&](std::string_view name, const element& value) {
    return reader.read_record(name, value);
  }));
  parts.types = types.builder().build();
  return parts;
}

}  // namespace furnace::guest
