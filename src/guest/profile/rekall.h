// Rekall profiles: {"$CONSTANTS": {symbol: address}, "$STRUCTS": {name: [size, {member: [offset, [type,
// {...}]]}]},
// "$METADATA": {...}}, as DRAKVUF and LibVMI read them.
#pragma once

#include "guest/profile/padded_text.h"
#include "guest/profile/parts.h"

namespace furnace::guest {

/// The error names the structure and the member.
[[nodiscard]] Result<ProfileParts> parse_rekall(const PaddedText& json);

}  // namespace furnace::guest
