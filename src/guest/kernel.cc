#include "guest/kernel.h"

#include <algorithm>

namespace furnace::guest {

Result<Gva> Kernel::symbol(std::string_view name) const {
  const auto found = profile_->symbol(name);
  if (!found) return fail(Errc::NotFound, "no kernel symbol '{}'", name);
  return found->relative ? placement_.text + found->value : Gva{found->value};
}

size_t Kernel::size_of_function(Gva function) const {
  const uint64_t start = function.value - placement_.text.value;
  uint64_t next = UINT64_MAX;
  for (size_t i = 0; i < profile_->symbol_count(); ++i) {
    const SymbolValue value = profile_->symbol_at(i).second;
    if (value.relative && value.value > start) next = std::min(next, value.value);
  }
  return next == UINT64_MAX ? 0 : next - start;
}

Result<uint64_t> Kernel::member(std::string_view structure, std::string_view path) const {
  FURNACE_TRY(const Btf::Member found, profile_->types().member(structure, path));
  return found.byte_offset();
}

std::optional<Gpa> Kernel::image_gpa(std::string_view name) const {
  const auto found = profile_->symbol(name);
  if (!found || !found->relative) return std::nullopt;
  return placement_.text_gpa + found->value;
}

}  // namespace furnace::guest
