#include "guest/profile/export.h"

#include <algorithm>
#include <array>
#include <set>
#include <vector>

#include "base/bytes.h"
#include "base/json_text.h"
#include "base/printable.h"

namespace furnace::guest {
namespace {

using Json = nlohmann::ordered_json;
using Kind = Btf::Kind;

/// A type's name in an export: anonymous ones get one that no C type has.
std::string exported_name(const Btf::Description& type) {
  return type.name.empty() ? fmt::format("__unnamed_{:x}", type.id) : valid_utf8(type.name);
}

/// The structures of a profile by the names they get: those with a name, those that a typedef names, and
/// anonymous ones that a member needs.
class StructureWalk {
 public:
  explicit StructureWalk(const Btf& types) : types_(types) {
    for (const std::string_view name : types.structure_names()) {
      const auto id = types.find_structure(name);
      const auto type = id ? types.describe(*id) : tl::unexpected<Error>(id.error());
      if (type && is_record(*type)) add(valid_utf8(name), *type);
    }
  }

  static bool is_record(const Btf::Description& type) {
    return type.kind == Kind::Struct || type.kind == Kind::Union;
  }

  /// The name of a structure that a member has as its type; it is exported too, without members where the
  /// kernel only declares it.
  std::string name_of(const Btf::Description& type) {
    std::string name = exported_name(type);
    add(name, type);
    return name;
  }

  /// Calls `write(name, type)` for each, also for those that come up meanwhile.
  template <typename Write>
  Status for_each(const Write& write) {
    for (size_t i = 0; i < queue_.size(); ++i) {
      const auto [name, type] = queue_[i];
      FURNACE_CHECK(write(name, type));
    }
    return {};
  }

  [[nodiscard]] const Btf& types() const { return types_; }

 private:
  void add(const std::string& name, const Btf::Description& type) {
    if (names_.insert(name).second) queue_.emplace_back(name, type);
  }

  const Btf& types_;
  std::set<std::string> names_;
  std::vector<std::pair<std::string, Btf::Description>> queue_;
};

std::string json_string(std::string_view text) {
  return json_text(Json(text));
}

/// Where a bit field's storage unit begins, and the field's first bit in it.
struct BitPlace {
  uint64_t offset, bit;
};
BitPlace bit_place(const Btf::Member& member, uint64_t unit) {
  const uint64_t bits = std::max<uint64_t>(unit, 1) * 8;
  return {member.bit_offset / bits * bits / 8, member.bit_offset % bits};
}

constexpr int kMaxNesting = 16;

/// Types can expand without end by anonymous members; a kernel's take 10 MB.
Status check_size(const std::string& text) {
  constexpr size_t most = 256 << 20;
  if (text.size() > most) return fail(Errc::Invalid, "the types take more than {} MB as text", most >> 20);
  return {};
}

// ---- Rekall

Json rekall_type(StructureWalk& walk, uint32_t id, int depth) {
  const auto type = walk.types().describe(id);
  if (!type || depth > kMaxNesting) return Json::array({"Void"});
  const auto target = [&]() {
    const Json inner = rekall_type(walk, type->target, depth + 1);
    Json details{{"target", inner[0]}};
    if (inner.size() > 1) details["target_args"] = inner[1];
    return details;
  };
  switch (type->kind) {
    case Kind::Pointer:
      return Json::array({"Pointer", target()});
    case Kind::Array: {
      Json details = target();
      details["count"] = type->count;
      return Json::array({"Array", details});
    }
    case Kind::Struct:
    case Kind::Union:
      return Json::array({walk.name_of(*type)});
    case Kind::Enum:
      return Json::array(
          {"Enumeration",
           {{"target", type->size == 8 ? "unsigned long" : "unsigned int"}, {"choices", Json::object()}}});
    case Kind::Void:
    case Kind::Function:
      return Json::array({"Void"});
    default:
      return Json::array({exported_name(*type)});
  }
}

Json rekall_struct(StructureWalk& walk, const Btf::Description& structure) {
  Json members = Json::object();
  (void)walk.types().for_each_member(structure.id, [&](std::string_view name, const Btf::Member& member) {
    Json type = rekall_type(walk, member.type, 0);
    uint64_t offset = member.byte_offset();
    if (member.bit_size != 0) {
      const auto unit = walk.types().describe(member.type);
      const BitPlace place = bit_place(member, unit ? unit->size : 1);
      offset = place.offset;
      type = Json::array(
          {"BitField",
           {{"target", type[0]}, {"start_bit", place.bit}, {"end_bit", place.bit + member.bit_size}}});
    }
    members[valid_utf8(name)] = Json::array({offset, type});
  });
  return Json::array({structure.size, members});
}

/// All symbols, and one more that kallsyms leaves out and readers of snapshots (LibVMI) look for: where the
/// kernel is linked to lie in physical memory (arch/x86/kernel/vmlinux.lds.S).
std::vector<std::pair<std::string_view, SymbolValue>> symbols_of(const Profile& profile) {
  std::vector<std::pair<std::string_view, SymbolValue>> symbols;
  symbols.reserve(profile.symbol_count() + 1);
  for (size_t i = 0; i < profile.symbol_count(); ++i) symbols.push_back(profile.symbol_at(i));
  constexpr std::string_view physical = "phys_startup_64";
  constexpr uint64_t load_offset = 0xffff'ffff'8000'0000;  // __START_KERNEL_map
  const auto entry = profile.symbol("startup_64");
  if (entry && entry->relative && !profile.symbol(physical))
    symbols.emplace_back(physical, SymbolValue{linked_address(*entry) - load_offset, false, 'A'});
  return symbols;
}

Result<std::string> rekall(const Profile& profile) {
  std::string text = fmt::format(
      "{{\"$METADATA\":{{\"ProfileClass\":\"Linux\",\"Type\":\"Profile\",\"Version\":1,\"arch\":\"AMD64\","
      "\"Banner\":{}}},\n\"$CONSTANTS\":{{",
      json_string(profile.banner()));
  // Rekall keeps addresses without their sign extension, and readers take them for signed.
  constexpr uint64_t address_bits = (1ULL << 48) - 1;
  const char* separator = "";
  for (const auto& [name, symbol] : symbols_of(profile)) {
    text += fmt::format("{}\n{}:{}", separator, json_string(name), linked_address(symbol) & address_bits);
    separator = ",";
  }
  text += "},\n\"$STRUCTS\":{";
  StructureWalk walk(profile.types());
  bool first = true;
  FURNACE_CHECK(walk.for_each([&](const std::string& name, const Btf::Description& type) -> Status {
    text +=
        fmt::format("{}\n{}:{}", first ? "" : ",", json_string(name), json_text(rekall_struct(walk, type)));
    first = false;
    return check_size(text);
  }));
  return text + "},\n\"$ENUMS\":{}}\n";
}

// ---- Volatility's ISF, schema 6.2.0

/// Types that symbols have and neither kallsyms nor BTF names; what Volatility's plugins begin with.
struct KnownSymbol {
  std::string_view symbol, structure;
};
constexpr std::array kKnownSymbols = {
    KnownSymbol{"init_task", "task_struct"},
    KnownSymbol{"init_mm", "mm_struct"},
    KnownSymbol{"init_pid_ns", "pid_namespace"},
    KnownSymbol{"init_net", "net"},
    KnownSymbol{"modules", "list_head"},
    KnownSymbol{"net_namespace_list", "list_head"},
    KnownSymbol{"super_blocks", "list_head"},
    KnownSymbol{"iomem_resource", "resource"},
    KnownSymbol{"module_kset", "kset"},
    KnownSymbol{"init_files", "files_struct"},
    KnownSymbol{"init_cred", "cred"},
    KnownSymbol{"prog_idr", "idr"},
};

class IsfWriter {
 public:
  explicit IsfWriter(const Profile& profile) : profile_(profile), walk_(profile.types()) {}

  Result<std::string> write() {
    std::string text = metadata();
    text += ",\n\"user_types\":{";
    bool first = true;
    FURNACE_CHECK(walk_.for_each([&](const std::string& name, const Btf::Description& type) -> Status {
      text += fmt::format("{}\n{}:{}", first ? "" : ",", json_string(name), json_text(structure(type)));
      first = false;
      return check_size(text);
    }));
    text += fmt::format("}},\n\"enums\":{},\n\"base_types\":{},\n\"symbols\":{{", json_text(enums_),
                        json_text(base_types_));
    const char* separator = "";
    for (const auto& [name, value] : symbols_of(profile_)) {
      text += fmt::format("{}\n{}:{}", separator, json_string(name), json_text(symbol(name, value)));
      separator = ",";
    }
    return text + "}}\n";
  }

 private:
  [[nodiscard]] std::string metadata() const {
    const Json content{{"format", "6.2.0"},
                       {"producer", {{"name", "furnace"}, {"version", "1.0.0"}}},
                       {"linux", {{"symbols", Json::array()}, {"types", Json::array()}}}};
    return fmt::format("{{\"metadata\":{}", json_text(content));
  }

  Json type(uint32_t id, int depth) {
    const auto found = walk_.types().describe(id);
    const Json nothing{{"kind", "base"}, {"name", "void"}};
    if (!found || depth > kMaxNesting) return nothing;
    const std::string name = exported_name(*found);
    switch (found->kind) {
      case Kind::Pointer:
        return {{"kind", "pointer"}, {"subtype", type(found->target, depth + 1)}};
      case Kind::Array:
        return {{"kind", "array"}, {"count", found->count}, {"subtype", type(found->target, depth + 1)}};
      case Kind::Struct:
      case Kind::Union:
        return {{"kind", found->kind == Kind::Union ? "union" : "struct"}, {"name", walk_.name_of(*found)}};
      case Kind::Enum:
        if (!enums_.contains(name)) enums_[name] = enumeration(*found);
        return {{"kind", "enum"}, {"name", name}};
      case Kind::Int:
      case Kind::Float:
        base_types_[name] = {{"size", found->size},
                             {"signed", found->is_signed},
                             {"kind", found->kind == Kind::Float ? "float"
                                      : found->size == 1         ? "char"
                                                                 : "int"},
                             {"endian", "little"}};
        return {{"kind", "base"}, {"name", name}};
      case Kind::Function:
        return {{"kind", "function"}};
      default:
        return nothing;
    }
  }

  Json enumeration(const Btf::Description& found) {
    Json constants = Json::object();
    walk_.types().for_each_constant(
        found.id, [&](std::string_view name, int64_t value) { constants[valid_utf8(name)] = value; });
    const std::string base = found.size == 8 ? "unsigned long" : "unsigned int";
    base_types_[base] = {
        {"size", found.size == 8 ? 8 : 4}, {"signed", false}, {"kind", "int"}, {"endian", "little"}};
    return {{"size", found.size}, {"base", base}, {"constants", constants}};
  }

  Json structure(const Btf::Description& found) {
    Json fields = Json::object();
    (void)walk_.types().for_each_member(found.id, [&](std::string_view name, const Btf::Member& member) {
      Json field{{"type", type(member.type, 0)}, {"offset", member.byte_offset()}};
      if (member.bit_size != 0) {
        const auto unit = walk_.types().describe(member.type);
        const BitPlace place = bit_place(member, unit ? unit->size : 1);
        field["offset"] = place.offset;
        field["type"] = Json{{"kind", "bitfield"},
                             {"bit_position", place.bit},
                             {"bit_length", member.bit_size},
                             {"type", field["type"]}};
      }
      fields[valid_utf8(name)] = std::move(field);
    });
    return {
        {"size", found.size}, {"fields", fields}, {"kind", found.kind == Kind::Union ? "union" : "struct"}};
  }

  Json symbol(std::string_view name, const SymbolValue& value) {
    Json description{{"address", linked_address(value)}};
    for (const KnownSymbol& known : kKnownSymbols)
      if (known.symbol == name && walk_.types().has_structure(known.structure))
        description["type"] = Json{{"kind", "struct"}, {"name", known.structure}};
    if (name == "linux_banner" && !profile_.banner().empty()) {
      const std::string content = std::string(profile_.banner()) + "\n" + '\0';
      description["type"] = Json{
          {"kind", "array"}, {"count", content.size()}, {"subtype", {{"kind", "base"}, {"name", "char"}}}};
      description["constant_data"] = to_base64(as_bytes(content));
    }
    return description;
  }

  const Profile& profile_;
  StructureWalk walk_;
  Json enums_ = Json::object();
  Json base_types_{{"void", {{"size", 0}, {"signed", false}, {"kind", "void"}, {"endian", "little"}}},
                   {"pointer", {{"size", 8}, {"signed", false}, {"kind", "int"}, {"endian", "little"}}},
                   {"char", {{"size", 1}, {"signed", true}, {"kind", "char"}, {"endian", "little"}}}};
};

// ---- System.map

std::string system_map(const Profile& profile) {
  struct Line {
    uint64_t address;
    char type;
    std::string_view name;
  };
  std::vector<Line> lines;
  for (const auto& [name, symbol] : symbols_of(profile))
    lines.push_back({linked_address(symbol), symbol.type, name});
  std::stable_sort(lines.begin(), lines.end(),
                   [](const Line& a, const Line& b) { return a.address < b.address; });
  std::string text;
  for (const Line& line : lines)
    text += fmt::format("{:016x} {} {}\n", line.address, line.type, printable(line.name));
  return text;
}

}  // namespace

std::optional<ProfileFormat> profile_format(std::string_view name) {
  constexpr std::array<std::pair<std::string_view, ProfileFormat>, 5> formats{{
      {"isf", ProfileFormat::Isf},
      {"rekall", ProfileFormat::Rekall},
      {"system-map", ProfileFormat::SystemMap},
      {"btf", ProfileFormat::Btf},
      {"furnace", ProfileFormat::Furnace},
  }};
  for (const auto& [known, format] : formats)
    if (known == name) return format;
  return std::nullopt;
}

Result<std::string> export_profile(const Profile& profile, ProfileFormat format) {
  switch (format) {
    case ProfileFormat::Isf:
      return IsfWriter(profile).write();
    case ProfileFormat::Rekall:
      return rekall(profile);
    case ProfileFormat::SystemMap:
      return system_map(profile);
    case ProfileFormat::Btf:
      return std::string(as_text(profile.btf()));
    case ProfileFormat::Furnace:
      return std::string(as_text(profile.image()));
  }
  return fail(Errc::Invalid, "no such format");
}

}  // namespace furnace::guest
