// Which registers a gdb stub's `g` answer holds, from its target description (GDB manual, appendix G).
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "hypervisor/registers.h"

namespace furnace::hypervisor {

class RegisterLayout {
 public:
  /// From the text of a <feature> with its <reg name= bitsize=> elements, in their order.
  [[nodiscard]] static Result<RegisterLayout> parse(std::string_view xml);

  /// The registers in the hexadecimal answer to `g`. Fails if it ends before those that events need.
  [[nodiscard]] Result<Registers> decode(std::string_view answer) const;

  /// The number that the packets `p` and `P` know a register by.
  [[nodiscard]] std::optional<unsigned> number(Reg reg) const;

 private:
  struct Slot {
    std::optional<Reg> reg;  ///< nullopt: one that has no user here
    unsigned number = 0;
    size_t bytes = 0;
  };
  std::vector<Slot> slots_;
};

}  // namespace furnace::hypervisor
