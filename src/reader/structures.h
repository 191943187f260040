// What a profile says of a symbol, a structure or a member, as records.
#pragma once

#include "guest/profile/profile.h"
#include "reader/report.h"

namespace furnace::reader {

/// Errc::NotFound: the profile has no such thing.
[[nodiscard]] Status report_thing(Report& report, const guest::Profile& profile, const std::string& thing);

}  // namespace furnace::reader
