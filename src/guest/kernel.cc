#include "guest/kernel.h"

namespace furnace::guest {

Result<Gva> Kernel::symbol(std::string_view name) const {
  const auto found = profile_->symbol(name);
  if (!found) return fail(Errc::NotFound, "no kernel symbol '{}'", name);
  return found->relative ? placement_.text + found->value : Gva{found->value};
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
