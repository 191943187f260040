// What every form of a kernel's profile boils down to, before it becomes a Profile.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "base/result.h"
#include "guest/profile/profile.h"

namespace furnace::guest {

struct ProfileParts {
  struct Symbol {
    std::string name;
    uint64_t address =
        0;  ///< as linked, or as in a running kernel: `_text` among the symbols shows the difference
    char type = '?';  ///< as nm prints it, '?' where the form doesn't tell
  };
  std::vector<Symbol> symbols;
  std::vector<std::byte> types;  ///< a BTF blob; empty where the form has no types
  std::string banner;            ///< "Linux version ..."; empty where the form doesn't tell

  /// Fails without the symbol _text, from which addresses are counted, and without types.
  [[nodiscard]] Result<std::shared_ptr<const Profile>> build() &&;
};

}  // namespace furnace::guest
