// Registers of a vCPU by name.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "guest/profile/locate.h"

namespace furnace::hypervisor {

/// By lower-case name: rax ... r15, rip, rflags, cr0, cr2, cr3, cr4, cr8, efer, cs ... gs (selectors),
/// fs_base, gs_base, gdtr_base, idtr_base.
class Registers {
 public:
  void set(std::string name, uint64_t value) { values_.emplace_back(std::move(name), value); }
  /// Gives a register another value.
  void replace(std::string_view name, uint64_t value);
  [[nodiscard]] std::optional<uint64_t> get(std::string_view name) const;
  [[nodiscard]] guest::PagingState paging() const;

 private:
  std::vector<std::pair<std::string, uint64_t>> values_;
};

}  // namespace furnace::hypervisor
