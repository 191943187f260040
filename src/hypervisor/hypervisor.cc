#include "hypervisor/hypervisor.h"

#include <algorithm>

namespace furnace::hypervisor {

std::optional<uint64_t> Registers::get(std::string_view name) const {
  const auto found =
      std::find_if(values_.begin(), values_.end(), [&](const auto& each) { return each.first == name; });
  if (found == values_.end()) return std::nullopt;
  return found->second;
}

guest::PagingState Registers::paging() const {
  return {.cr0 = get("cr0").value_or(0),
          .cr3 = get("cr3").value_or(0),
          .cr4 = get("cr4").value_or(0),
          .efer = get("efer").value_or(0)};
}

}  // namespace furnace::hypervisor
