// Reads the tests of integers in policies.
#pragma once

#include <string>
#include <string_view>

#include "base/result.h"
#include "sandbox/policy/policy.h"

namespace furnace::policy {

/// "[NAME][&MASK][COMPARE]VALUE" about an argument of `call`; a mere VALUE is about the argument that
/// decides. VALUE and MASK are numbers and names of constants, joined by '|'.
[[nodiscard]] Result<Condition> parse_condition(std::string_view text, const std::string& call);

}  // namespace furnace::policy
