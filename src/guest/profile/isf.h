// Volatility 3's intermediate symbol format (ISF, schema 6.x): base_types, user_types, enums, symbols,
// metadata.
#pragma once

#include <string>

#include "guest/profile/parts.h"

namespace furnace::guest {

/// The error names the structure and the member. `json` may get more capacity, which the parser needs.
[[nodiscard]] Result<ProfileParts> parse_isf(std::string& json);

}  // namespace furnace::guest
