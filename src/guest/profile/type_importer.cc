#include "guest/profile/type_importer.h"

namespace furnace::guest {

void TypeImporter::reserve(size_t records) {
  records_.reserve(records);
  builder_.reserve(records);
}

void TypeImporter::declare(std::string_view name) {
  if (!records_.contains(name)) records_.emplace(name, builder_.declare_record());
}

std::optional<uint32_t> TypeImporter::find(std::string_view name) const {
  const auto found = records_.find(name);
  if (found == records_.end()) return std::nullopt;
  return found->second;
}

Status TypeImporter::define(std::string_view name, BtfBuilder::Record kind, uint64_t size,
                            const std::vector<BtfBuilder::Member>& members) {
  const auto id = find(name);
  if (!id) return fail(Errc::Invalid, "structure '{}' was not declared", name);
  return builder_.define_record(*id, kind, name, size, members);
}

uint32_t TypeImporter::base(std::string_view name) {
  const auto has = [&](std::string_view part) { return name.find(part) != std::string_view::npos; };
  if (name == "void" || name == "Void" || name.empty()) return 0;
  const bool is_unsigned = has("unsigned") || has("bool") || has("Bool") || name.starts_with('u');
  const uint32_t size = has("char") || has("bool") || has("Bool") ? 1
                        : has("short")                            ? 2
                        : has("int128")                           ? 16
                        : has("long") || has("double")            ? 8
                        : has("address") || has("Pointer")        ? 8
                                                                  : 4;
  return builder_.add_int(name, size, !is_unsigned);
}

}  // namespace furnace::guest
