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

  /// The integer registers in the hexadecimal answer to `g`. Fails if it ends before the control registers.
  [[nodiscard]] Result<Registers> decode(std::string_view answer) const;

  /// The number that the packets `p` and `P` know a register by.
  [[nodiscard]] std::optional<unsigned> number(std::string_view name) const;

 private:
  struct Slot {
    std::string name;
    unsigned number = 0;
    size_t bytes = 0;
    bool wanted = false;  ///< an integer register that others ask for
  };
  std::vector<Slot> slots_;
};

}  // namespace furnace::hypervisor
