// Numbers by the names that headers and manual pages give them.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

namespace furnace::policy {

/// "TCGETS", or as 1.0's policies have it "module_termios.TCGETS"; the module's name is only for the reader.
[[nodiscard]] std::optional<uint64_t> constant(std::string_view name);

/// An errno by its name ("EACCES").
[[nodiscard]] std::optional<int> error_constant(std::string_view name);
[[nodiscard]] std::string_view error_name(int number);

}  // namespace furnace::policy
