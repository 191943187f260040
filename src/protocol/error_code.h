// The kinds of errors as answers name them (wire: `code` beside `reason`), so that apps can decide by them.
#pragma once

#include "base/result.h"
#include "vmi.pb.h"

namespace furnace::protocol {

[[nodiscard]] wire::ErrorCode code_of(Errc kind);
/// Errc::Failed for a code that is unknown here, and for none.
[[nodiscard]] Errc kind_of(wire::ErrorCode code);

}  // namespace furnace::protocol
