// Volatility 3's intermediate symbol format (ISF, schema 6.x): base_types, user_types, enums, symbols,
// metadata.
#pragma once

#include "guest/profile/padded_text.h"
#include "guest/profile/parts.h"

namespace furnace::guest {

/// The error names the structure and the member.
[[nodiscard]] Result<ProfileParts> parse_isf(const PaddedText& json);

}  // namespace furnace::guest
