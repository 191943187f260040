// Policies as text: what a policy says, in the fewest rules, in one order.
#pragma once

#include <string>
#include <vector>

#include "sandbox/policy/policy.h"

namespace furnace::policy {

/// One statement: the rule it belongs to ("ALLOW read", "A TEST_ARGS openat"), and of a test its line.
struct Statement {
  std::string rule, test;
  auto operator<=>(const Statement&) const = default;
};

/// Two policies that say the same have the same statements. Calls of a family that are treated alike appear
/// once.
[[nodiscard]] std::vector<Statement> statements(const Policy& policy);

/// A policy file that says the same.
[[nodiscard]] std::string to_text(const Policy& policy);

/// A condition as it is written after REG_INT:.
[[nodiscard]] std::string to_text(const Condition& condition, std::string_view call);
[[nodiscard]] std::string to_text(const PathTest& test);

}  // namespace furnace::policy
