#include "guest/profile/structure.h"

#include <algorithm>

#include "base/bytes.h"

namespace furnace::guest {
namespace {

ValueKind value_kind(Btf::Kind kind) {
  switch (kind) {
    case Btf::Kind::Int:
      return ValueKind::Integer;
    case Btf::Kind::Pointer:
      return ValueKind::Pointer;
    case Btf::Kind::Struct:
    case Btf::Kind::Union:
      return ValueKind::Structure;
    case Btf::Kind::Enum:
      return ValueKind::Enumeration;
    default:
      return ValueKind::Other;
  }
}

StructureMember describe_member(const Btf& types, std::string_view name, const Btf::Member& found) {
  StructureMember member{
      .name = valid_utf8(name), .bit_offset = found.bit_offset, .bit_size = found.bit_size, .type = {}};
  auto type = types.describe(found.type);
  constexpr int max_dimensions = 8;
  for (int i = 0; i < max_dimensions && type && type->kind == Btf::Kind::Array; ++i) {
    const uint64_t before = i == 0 ? 1 : member.count;
    member.count = std::min<uint64_t>(before * type->count, UINT32_MAX);
    type = types.describe(type->target);
  }
  if (!type) return member;
  member.kind = value_kind(type->kind);
  member.size = type->size;
  member.is_signed = type->is_signed;
  if (type->kind == Btf::Kind::Pointer) {
    const auto target = types.describe(type->target);
    if (target && target->kind != Btf::Kind::Pointer) member.type = valid_utf8(target->name);
  } else {
    member.type = valid_utf8(type->name);
  }
  return member;
}

}  // namespace

Result<Structure> describe_structure(const Btf& types, std::string_view name) {
  FURNACE_TRY(const uint32_t id, types.find_structure(name));
  Structure structure;
  FURNACE_TRY(structure.size, types.size(name));
  FURNACE_CHECK(types.for_each_member(id, [&](std::string_view member, const Btf::Member& found) {
    structure.members.push_back(describe_member(types, member, found));
  }));
  return structure;
}

}  // namespace furnace::guest
