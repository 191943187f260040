// Rekall profiles: {"$CONSTANTS": {symbol: address}, "$STRUCTS": {name: [size, {member: [offset, [type, {...}]]}]},
// "$METADATA": {...}}, as DRAKVUF and LibVMI read them.
#pragma once

#include <string_view>

#include "guest/profile/parts.h"

namespace furnace::guest {

/// The error names the structure and the member.
[[nodiscard]] Result<ProfileParts> parse_rekall(std::string_view json);

}  // namespace furnace::guest
