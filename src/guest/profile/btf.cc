#include "guest/profile/btf.h"

#include <algorithm>

#include "base/bytes.h"
#include "base/text.h"
#include "guest/profile/btf_kinds.h"

namespace furnace::guest {
namespace {

constexpr uint16_t kBtfMagic = 0xeb9f;
constexpr int kMaxMembers = 100'000;  // members looked at for one lookup
constexpr size_t kLongestName = 511;  // KSYM_NAME_LEN, which the kernel's own verifier holds names to
constexpr int kMaxDepth = 16;  // nesting of anonymous members, length of a chain of typedefs and qualifiers

struct Header {
  uint16_t magic;
  uint8_t version, flags;
  uint32_t header_length, type_offset, type_length, string_offset, string_length;
};

struct RawType {
  uint32_t name, info, size_or_type;
};

/// Bytes that follow a type: a fixed part, and a part for each of its `vlen` elements.
struct TailSize {
  uint8_t fixed, each;
};
constexpr TailSize kTails[btf::kKinds] = {
    {0, 0}, {4, 0}, {0, 0}, {12, 0}, {0, 12}, {0, 12}, {0, 8}, {0, 0}, {0, 0}, {0, 0},
    {0, 0}, {0, 0}, {0, 0}, {0, 8},  {4, 0},  {0, 12}, {0, 0}, {4, 0}, {0, 0}, {0, 12},
};

bool is_record(uint32_t kind) {
  return kind == btf::kStruct || kind == btf::kUnion;
}

}  // namespace

Result<Btf> Btf::parse(std::span<const std::byte> blob) {
  const auto header = load<Header>(blob, 0);
  if (!header || header->magic != kBtfMagic)
    return fail(Errc::Invalid, "BTF: no magic {:#x} at the start", kBtfMagic);
  if (header->version != 1) return fail(Errc::Invalid, "BTF: version {}, expected 1", header->version);
  const auto section = [&](uint64_t offset, uint64_t length) -> std::optional<std::span<const std::byte>> {
    const uint64_t start = header->header_length + offset;
    if (header->header_length < sizeof(Header) || start + length > blob.size()) return std::nullopt;
    return blob.subspan(start, length);
  };
  const auto types = section(header->type_offset, header->type_length);
  const auto strings = section(header->string_offset, header->string_length);
  if (!types || !strings)
    return fail(Errc::Invalid, "BTF: its sections end past the blob's {} bytes", blob.size());
  if (strings->empty() || strings->back() != std::byte{0})
    return fail(Errc::Invalid, "BTF: the string section does not end with a NUL");

  Btf btf;
  btf.type_section_ = *types;
  btf.strings_ = as_text(*strings);
  // What a kernel has, so that neither grows by copying; a blob can't ask for more than its own size.
  btf.types_.reserve(types->size() / 25);
  btf.structures_.reserve(types->size() / 128);
  for (uint64_t offset = 0; offset < types->size();) {
    const auto raw = load<RawType>(*types, offset);
    const uint32_t kind = raw ? (raw->info >> 24) & 0x1f : 0;
    if (!raw || kind == 0 || kind >= btf::kKinds)
      return fail(Errc::Invalid, "BTF: type {} at offset {} has no valid kind", btf.types_.size() + 1,
                  offset);
    btf.types_.push_back(static_cast<uint32_t>(offset));
    offset += sizeof(RawType) + kTails[kind].fixed + uint64_t{kTails[kind].each} * (raw->info & 0xffff);
    if (offset > types->size())
      return fail(Errc::Invalid, "BTF: type {} ends past the type section", btf.types_.size());
    // A name may come twice (other compilation units); the first is the kernel's own order.
    if (is_record(kind) || kind == btf::kTypedef)
      if (const auto name = btf.string(raw->name); !name.empty())
        if (const auto [known, fresh] =
                btf.structures_.try_emplace(name, static_cast<uint32_t>(btf.types_.size()));
            !fresh && is_record(kind)) {
          const auto before = btf.type(known->second);
          if (before && !is_record(before->kind)) known->second = static_cast<uint32_t>(btf.types_.size());
        }
  }
  return btf;
}

std::string_view Btf::string(uint32_t offset) const {
  // Many types may share one string: a long one would be copied and searched for each of them.
  return offset < strings_.size() ? until_nul(strings_.substr(offset, kLongestName)) : std::string_view();
}

Result<Btf::Type> Btf::type(uint32_t id) const {
  if (id == 0 || id > types_.size())
    return fail(Errc::Invalid, "BTF: type {} of {} does not exist", id, types_.size());
  const uint32_t offset = types_[id - 1];
  const auto raw = *load<RawType>(type_section_, offset);
  const uint32_t kind = (raw.info >> 24) & 0x1f;
  const uint32_t vlen = raw.info & 0xffff;
  return Type{
      id,
      kind,
      vlen,
      raw.size_or_type,
      raw.info >> 31 != 0,
      string(raw.name),
      type_section_.subspan(offset + sizeof(RawType), kTails[kind].fixed + size_t{kTails[kind].each} * vlen)};
}

Result<Btf::Type> Btf::resolve(uint32_t id) const {
  for (int depth = 0; depth < kMaxDepth; ++depth) {
    FURNACE_TRY(const Type found, type(id));
    switch (found.kind) {
      case btf::kTypedef:
      case btf::kVolatile:
      case btf::kConst:
      case btf::kRestrict:
      case btf::kTypeTag:
        id = found.size_or_type;
        break;
      default:
        return found;
    }
  }
  return fail(Errc::Invalid, "BTF: type {} is a chain of more than {} references", id, kMaxDepth);
}

namespace {

struct RawMember {
  uint32_t name, type, offset;
  // With bit fields the offset's upper 8 bits are the size of the field.
  [[nodiscard]] uint64_t bit_offset(bool bit_fields) const { return bit_fields ? offset & 0xffffff : offset; }
  [[nodiscard]] uint32_t bit_size(bool bit_fields) const { return bit_fields ? offset >> 24 : 0; }
};

RawMember raw_member(std::span<const std::byte> tail, uint32_t index) {
  return load<RawMember>(tail, size_t{index} * sizeof(RawMember)).value_or(RawMember{});
}

}  // namespace

bool Btf::find(const Type& structure, std::string_view name, int depth, int& budget, Member& found) const {
  for (uint32_t i = 0; i < structure.vlen && budget > 0; ++i, --budget) {
    const RawMember raw = raw_member(structure.tail, i);
    const uint64_t offset = raw.bit_offset(structure.bit_fields);
    const std::string_view member_name = string(raw.name);
    if (member_name == name) {
      found = {found.bit_offset + offset, raw.bit_size(structure.bit_fields), raw.type};
      return true;
    }
    if (member_name.empty() && depth < kMaxDepth) {
      const auto inner = resolve(raw.type);
      Member nested{found.bit_offset + offset, 0, 0};
      if (inner && is_record(inner->kind) && find(*inner, name, depth + 1, budget, nested)) {
        found = nested;
        return true;
      }
    }
  }
  return false;
}

Result<Btf::Member> Btf::member(std::string_view structure, std::string_view path) const {
  FURNACE_TRY(const uint32_t id, find_structure(structure));
  Member found{0, 0, id};
  int budget = kMaxMembers;
  for (const std::string_view name : split(path, '.')) {
    FURNACE_TRY(const Type record, resolve(found.type));
    if (name.empty() || !is_record(record.kind) || !find(record, name, 0, budget, found))
      return fail(Errc::NotFound, "structure '{}' has no member '{}'", structure, path);
  }
  return found;
}

Result<uint64_t> Btf::size(std::string_view structure) const {
  FURNACE_TRY(const uint32_t id, find_structure(structure));
  FURNACE_TRY(const Type record, resolve(id));
  if (!is_record(record.kind)) return fail(Errc::NotFound, "'{}' is not a structure", structure);
  return record.size_or_type;
}

Result<uint32_t> Btf::find_structure(std::string_view name) const {
  const auto known = structures_.find(name);
  if (known == structures_.end())
    return fail(Errc::NotFound, "no structure '{}' in the kernel's types", name);
  return known->second;
}

std::vector<std::string_view> Btf::structure_names() const {
  std::vector<std::string_view> names;
  names.reserve(structures_.size());
  for (const auto& [name, id] : structures_) names.push_back(name);
  std::sort(names.begin(), names.end());
  return names;
}

Result<uint64_t> Btf::size_of(const Type& type, int depth) const {
  if (type.kind == btf::kPtr) return sizeof(uint64_t);
  if (type.kind != btf::kArray)
    return uint64_t{type.kind == btf::kFunc || type.kind == btf::kFuncProto || type.kind == btf::kFwd
                        ? 0
                        : type.size_or_type};
  if (depth > kMaxDepth) return fail(Errc::Invalid, "BTF: arrays of arrays, {} deep", depth);
  const auto element = load<uint32_t>(type.tail, 0).value_or(0);
  if (element == 0) return 0;
  FURNACE_TRY(const Type inner, resolve(element));
  FURNACE_TRY(const uint64_t size, size_of(inner, depth + 1));
  const uint64_t count = load<uint32_t>(type.tail, 8).value_or(0);
  if (size > UINT32_MAX)
    return fail(Errc::Invalid, "BTF: type {} is an array of {} bytes each", type.id, size);
  return size * count;
}

Result<Btf::Description> Btf::describe(uint32_t id) const {
  Description found;
  if (id == 0) return found;  // void
  std::string_view alias;
  for (int depth = 0; depth < kMaxDepth && id != 0; ++depth) {
    FURNACE_TRY(const Type reference, type(id));
    if (reference.kind == btf::kTypedef) alias = reference.name;
    if (reference.kind != btf::kTypedef && reference.kind != btf::kVolatile &&
        reference.kind != btf::kConst && reference.kind != btf::kRestrict && reference.kind != btf::kTypeTag)
      break;
    id = reference.size_or_type;
  }
  if (id == 0) return found;  // const void, a typedef of void
  FURNACE_TRY(const Type resolved, resolve(id));
  constexpr Kind kinds[btf::kKinds] = {Kind::Void,  Kind::Int,   Kind::Pointer,  Kind::Array,    Kind::Struct,
                                       Kind::Union, Kind::Enum,  Kind::Struct,   Kind::Other,    Kind::Other,
                                       Kind::Other, Kind::Other, Kind::Function, Kind::Function, Kind::Other,
                                       Kind::Other, Kind::Float, Kind::Other,    Kind::Other,    Kind::Enum};
  found.kind = kinds[resolved.kind];
  found.id = resolved.id;
  found.name = resolved.name.empty() ? alias : resolved.name;
  FURNACE_TRY(found.size, size_of(resolved, 0));
  if (found.kind == Kind::Pointer) found.target = resolved.size_or_type;
  if (found.kind == Kind::Array) {
    found.target = load<uint32_t>(resolved.tail, 0).value_or(0);
    found.count = load<uint32_t>(resolved.tail, 8).value_or(0);
  }
  constexpr uint32_t int_signed = 1U << 24;  // BTF_INT_SIGNED
  if (found.kind == Kind::Int)
    found.is_signed = (load<uint32_t>(resolved.tail, 0).value_or(0) & int_signed) != 0;
  return found;
}

void Btf::visit_members(const Type& structure, uint64_t base, int depth, int& budget,
                        const std::function<void(std::string_view, const Member&)>& visit) const {
  for (uint32_t i = 0; i < structure.vlen && budget > 0; ++i, --budget) {
    const RawMember raw = raw_member(structure.tail, i);
    const uint64_t offset = base + raw.bit_offset(structure.bit_fields);
    const std::string_view name = string(raw.name);
    if (!name.empty()) {
      visit(name, {offset, raw.bit_size(structure.bit_fields), raw.type});
    } else if (depth < kMaxDepth) {
      const auto inner = resolve(raw.type);
      if (inner && is_record(inner->kind)) visit_members(*inner, offset, depth + 1, budget, visit);
    }
  }
}

void Btf::for_each_constant(uint32_t id, const std::function<void(std::string_view, int64_t)>& visit) const {
  const auto found = type(id);
  if (!found || (found->kind != btf::kEnum && found->kind != btf::kEnum64)) return;
  const size_t each = kTails[found->kind].each;
  for (size_t i = 0; i < found->vlen; ++i) {
    const uint32_t name = load<uint32_t>(found->tail, i * each).value_or(0);
    const uint64_t low = load<uint32_t>(found->tail, i * each + 4).value_or(0);
    const uint64_t high =
        found->kind == btf::kEnum64 ? load<uint32_t>(found->tail, i * each + 8).value_or(0) : 0;
    // Without the flag for signed constants they count as unsigned.
    const bool is_signed = found->kind == btf::kEnum && found->bit_fields;
    visit(string(name),
          is_signed ? int64_t{static_cast<int32_t>(low)} : static_cast<int64_t>(high << 32 | low));
  }
}

std::optional<int64_t> Btf::constant(std::string_view enumeration, std::string_view name) const {
  std::optional<int64_t> found;
  for (uint32_t id = 1; id <= types_.size() && !found; ++id) {
    const auto each = type(id);
    if (!each || (each->kind != btf::kEnum && each->kind != btf::kEnum64) || each->name != enumeration)
      continue;
    for_each_constant(id, [&](std::string_view constant, int64_t value) {
      if (constant == name) found = value;
    });
  }
  return found;
}

Status Btf::for_each_member(uint32_t id,
                            const std::function<void(std::string_view, const Member&)>& visit) const {
  FURNACE_TRY(const Type record, resolve(id));
  if (!is_record(record.kind)) return fail(Errc::NotFound, "type {} is not a structure", id);
  int budget = kMaxMembers;
  visit_members(record, 0, 0, budget, visit);
  return {};
}

}  // namespace furnace::guest
