#include "reader/structures.h"

#include "guest/profile/export.h"

namespace furnace::reader {
namespace {

using guest::Btf;

std::string type_text(const Btf& types, uint32_t id, int depth = 0) {
  const auto type = types.describe(id);
  constexpr int deepest = 8;
  if (!type || depth > deepest) return "?";
  const std::string name = type->name.empty() ? "(anonymous)" : std::string(type->name);
  switch (type->kind) {
    case Btf::Kind::Void:
      return "void";
    case Btf::Kind::Pointer:
      return type_text(types, type->target, depth + 1) + " *";
    case Btf::Kind::Array:
      return fmt::format("{}[{}]", type_text(types, type->target, depth + 1), type->count);
    case Btf::Kind::Struct:
      return "struct " + name;
    case Btf::Kind::Union:
      return "union " + name;
    case Btf::Kind::Enum:
      return "enum " + name;
    case Btf::Kind::Function:
      return "function";
    default:
      return name;
  }
}

Status report_structure(Report& report, const Btf& types, const std::string& name) {
  FURNACE_TRY(const uint32_t id, types.find_structure(name));
  FURNACE_TRY(const uint64_t size, types.size(name));
  FURNACE_CHECK(report.add({RecordKind::Structure, {size}, {name}}));
  Status told;
  FURNACE_CHECK(types.for_each_member(id, [&](std::string_view member, const Btf::Member& found) {
    if (told)
      told = report.add({RecordKind::Member,
                         {found.byte_offset(), found.bit_size},
                         {std::string(member), type_text(types, found.type)}});
  }));
  return told;
}

}  // namespace

Status report_thing(Report& report, const guest::Profile& profile, const std::string& thing) {
  if (const auto symbol = profile.symbol(thing))
    return report.add({RecordKind::Symbol,
                       {guest::linked_address(*symbol), static_cast<uint64_t>(symbol->relative)},
                       {thing}});
  if (profile.types().has_structure(thing)) return report_structure(report, profile.types(), thing);
  const size_t dot = thing.find('.');
  if (dot == std::string::npos)
    return fail(Errc::NotFound, "no symbol and no structure '{}' in the profile", thing);
  FURNACE_TRY(const Btf::Member member, profile.types().member(thing.substr(0, dot), thing.substr(dot + 1)));
  return report.add({RecordKind::Offset, {member.byte_offset()}, {thing}});
}

}  // namespace furnace::reader
