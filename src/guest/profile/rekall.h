// Rekall profiles: {"$CONSTANTS": {symbol: address}, "$STRUCTS": {name: [size, {member: [offset, [type,
// {...}]]}]},
// "$METADATA": {...}}, as DRAKVUF and LibVMI read them.
#pragma once

#include <string>

#include "guest/profile/parts.h"

namespace furnace::guest {

/// The error names the structure and the member. `json` may get more capacity, which the parser needs.
[[nodiscard]] Result<ProfileParts> parse_rekall(std::string& json);

}  // namespace furnace::guest
