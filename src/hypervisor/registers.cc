#include "hypervisor/registers.h"

#include <algorithm>

namespace furnace::hypervisor {

void Registers::replace(std::string_view name, uint64_t value) {
  for (auto& [known, current] : values_)
    if (known == name) {
      current = value;
      return;
    }
  values_.emplace_back(name, value);
}

std::optional<uint64_t> Registers::get(std::string_view name) const {
  const auto found =
      std::find_if(values_.begin(), values_.end(), [&](const auto& each) { return each.first == name; });
  if (found == values_.end()) return std::nullopt;
  return found->second;
}

guest::PagingState Registers::paging() const {
  // The registers of an ELF core come without EFER. A kernel for x86-64 that has turned on paging with PAE is
  // in long mode (Intel SDM volume 3, section 4.1.1).
  constexpr uint64_t cr4_pae = 1 << 5, efer_lma = 1 << 10;
  const uint64_t assumed = (get("cr4").value_or(0) & cr4_pae) != 0 ? efer_lma : 0;
  return {.cr0 = get("cr0").value_or(0),
          .cr3 = get("cr3").value_or(0),
          .cr4 = get("cr4").value_or(0),
          .efer = get("efer").value_or(assumed)};
}

}  // namespace furnace::hypervisor
