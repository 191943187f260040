// Symbols as nm prints them: System.map, and the text of /proc/kallsyms.
#pragma once

#include <string_view>

#include "guest/profile/parts.h"

namespace furnace::guest {

/// Whether the first line has the form "ffffffff81000000 T _text".
[[nodiscard]] bool looks_like_system_map(std::string_view text);

/// Symbols of modules ("... [name]") are left out. The error names the line.
[[nodiscard]] Result<ProfileParts> parse_system_map(std::string_view text);

}  // namespace furnace::guest
