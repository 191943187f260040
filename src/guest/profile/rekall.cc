#include "guest/profile/rekall.h"

#include <algorithm>

#include "base/printable.h"
#include "guest/profile/json.h"
#include "guest/profile/type_importer.h"

namespace furnace::guest {
namespace {

using json::array;
using json::element;
using json::object;
using Member = BtfBuilder::Member;

/// Rekall names anonymous members u1, u2, ... and their types __unnamed_...
bool is_anonymous(std::string_view name, std::string_view type) {
  return type.starts_with("__unnamed") && name.size() > 1 && name[0] == 'u' &&
         std::all_of(name.begin() + 1, name.end(), [](char c) { return c >= '0' && c <= '9'; });
}

class StructReader {
 public:
  explicit StructReader(TypeImporter& types) : types_(types) {}

  Status read(std::string_view name, const element& value) {
    array parts;
    element size, members_element;
    object members;
    if (value.get(parts) != simdjson::SUCCESS || parts.at(0).get(size) != simdjson::SUCCESS ||
        parts.at(1).get(members_element) != simdjson::SUCCESS ||
        members_element.get(members) != simdjson::SUCCESS)
      return fail(Errc::Invalid, "expected [size, {{members}}]");
    FURNACE_TRY(const uint64_t bytes, json::number(size));
    members_.clear();
    for (const auto& [member, description] : members)
      if (auto read = read_member(member, description); !read)
        return fail(read.error(), fmt::format("member '{}'", printable(member.substr(0, 80))));
    return types_.define(name, BtfBuilder::Record::Struct, bytes, members_);
  }

 private:
  Status read_member(std::string_view name, const element& value) {
    array parts;
    element offset;
    array type;
    if (value.get(parts) != simdjson::SUCCESS || parts.at(0).get(offset) != simdjson::SUCCESS)
      return fail(Errc::Invalid, "expected [offset, [type]]");
    FURNACE_TRY(const uint64_t byte_offset, json::number(offset));
    Member member{name, 0, byte_offset};
    if (parts.at(1).get(type) == simdjson::SUCCESS) {
      std::string_view type_name;
      if (type.at(0).get(type_name) != simdjson::SUCCESS) return fail(Errc::Invalid, "a type without a name");
      if (type_name == "BitField") set_bits(type, member);
      if (is_anonymous(name, type_name)) member.name = {};
      FURNACE_TRY(member.type, type_of(type, 0));
    }
    members_.push_back(member);
    return {};
  }

  static void set_bits(const array& type, Member& member) {
    object details;
    if (type.at(1).get(details) != simdjson::SUCCESS) return;
    const auto start = json::number(details, "start_bit");
    const auto end = json::number(details, "end_bit");
    if (!start || !end || *end <= *start || *end > 255) return;
    member.bit = static_cast<uint32_t>(*start);
    member.bit_size = static_cast<uint32_t>(*end - *start);
  }

  /// "target" and "target_args" of a type's details.
  Result<uint32_t> target_of(const object& details, int depth) {
    std::string_view name;
    if (details["target"].get(name) != simdjson::SUCCESS) return 0;
    object arguments;
    const bool more = details["target_args"].get(arguments) == simdjson::SUCCESS;
    return make(name, more ? &arguments : nullptr, depth);
  }

  Result<uint32_t> type_of(const array& type, int depth) {
    std::string_view name;
    if (type.at(0).get(name) != simdjson::SUCCESS) return fail(Errc::Invalid, "a type without a name");
    object details;
    const bool more = type.at(1).get(details) == simdjson::SUCCESS;
    return make(name, more ? &details : nullptr, depth);
  }

  Result<uint32_t> make(std::string_view name, const object* details, int depth) {
    if (depth > json::kMaxNesting)
      return fail(Errc::Invalid, "types nested more than {} deep", json::kMaxNesting);
    if (const auto record = types_.find(name)) return *record;
    if (details == nullptr) return name == "Pointer" ? types_.builder().add_pointer(0) : types_.base(name);
    if (name == "Pointer") {
      FURNACE_TRY(const uint32_t target, target_of(*details, depth + 1));
      return types_.builder().add_pointer(target);
    }
    if (name == "Array") {
      FURNACE_TRY(const uint32_t target, target_of(*details, depth + 1));
      const uint64_t count = json::number(*details, "count").value_or(0);
      return types_.builder().add_array(target, static_cast<uint32_t>(std::min<uint64_t>(count, UINT32_MAX)));
    }
    if (name == "BitField" || name == "Enumeration") return target_of(*details, depth + 1);
    return types_.base(name);
  }

  TypeImporter& types_;
  std::vector<Member> members_;
};

}  // namespace

Result<ProfileParts> parse_rekall(const PaddedText& text) {
  FURNACE_TRY(const json::Outline outline, json::Outline::read(text));
  FURNACE_TRY(const json::Outline::Members* const constants, outline.section("$CONSTANTS"));
  FURNACE_TRY(const json::Outline::Members* const structs, outline.section("$STRUCTS"));

  ProfileParts parts;
  FURNACE_CHECK(
      json::for_each("$CONSTANTS", *constants, [&](std::string_view name, const element& value) -> Status {
        FURNACE_TRY(const uint64_t address, json::number(value));
        parts.symbols.push_back({std::string(name), address, '?'});
        return {};
      }));
  TypeImporter types;
  types.reserve(structs->size());
  for (const auto& [name, value] : *structs) types.declare(name);
  StructReader reader(types);
  FURNACE_CHECK(json::for_each("$STRUCTS", *structs, [&](std::string_view name, const element& value) {
    return reader.read(name, value);
  }));
  parts.types = types.builder().build();

  FURNACE_CHECK(json::for_each("$METADATA", outline.optional_section("$METADATA"),
                               [&](std::string_view name, const element& value) -> Status {
                                 std::string_view banner;
                                 if (name == "Banner" && value.get(banner) == simdjson::SUCCESS)
                                   parts.banner = banner;
                                 return {};
                               }));
  return parts;
}

}  // namespace furnace::guest
