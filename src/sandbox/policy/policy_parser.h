// Reads the policy language (docs/policies.md).
#pragma once

#include <filesystem>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "sandbox/policy/policy.h"

namespace furnace::policy {

struct Warning {
  RulePlace place;
  std::string text;
};

/// A rule as it is written in the file.
struct PolicyRule {
  RulePlace place;
  std::string text;  ///< without comment and white space around it
  std::string call;  ///< the name it is about
};

struct ParsedPolicy {
  Policy policy;
  std::vector<Warning> warnings;
  std::vector<PolicyRule> rules;
};

/// How an INCLUDE is read: the text of a file.
using ReadFile = std::function<Result<std::string>(const std::filesystem::path&)>;

/// Errors name file, line, column and what was expected.
[[nodiscard]] Result<ParsedPolicy> parse_policy(std::string_view text, const std::string& file,
                                                const ReadFile& read);
[[nodiscard]] Result<ParsedPolicy> load_policy(const std::filesystem::path& file);

}  // namespace furnace::policy
