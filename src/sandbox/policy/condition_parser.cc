#include "sandbox/policy/condition_parser.h"

#include <array>

#include "base/text.h"
#include "sandbox/policy/arguments.h"
#include "sandbox/policy/constants.h"
#include "sandbox/policy/policy_line.h"

namespace furnace::policy {
namespace {

std::optional<uint64_t> parse_signed(std::string_view text) {
  if (!text.starts_with('-')) return parse_literal(text);
  const auto value = parse_literal(text.substr(1));
  return value ? std::optional(0 - *value) : std::nullopt;
}

/// Numbers and names, joined by '|'.
Result<uint64_t> parse_value(std::string_view text) {
  uint64_t all = 0;
  for (const std::string_view part : split(text, '|')) {
    const auto number = parse_signed(part);
    const auto named = number ? number : constant(part);
    if (!named)
      return fail(Errc::Invalid, "expected a number or the name of a constant, not {}", shown(part));
    all |= *named;
  }
  return all;
}

}  // namespace

Result<Condition> parse_condition(std::string_view text, const std::string& call) {
  using Compare = Condition::Compare;
  constexpr std::array compares = {std::pair{std::string_view("!="), Compare::NotEqual},
                                   std::pair{std::string_view("<="), Compare::LessOrEqual},
                                   std::pair{std::string_view(">="), Compare::GreaterOrEqual},
                                   std::pair{std::string_view("="), Compare::Equal},
                                   std::pair{std::string_view("<"), Compare::Less},
                                   std::pair{std::string_view(">"), Compare::Greater}};
  Condition condition;
  std::string_view name, mask, value = text;
  const size_t sign = text.find_first_of("!<>=");
  if (sign != std::string_view::npos) {
    const auto found = std::find_if(compares.begin(), compares.end(), [&](const auto& row) {
      return text.substr(sign).starts_with(row.first);
    });
    if (found == compares.end())
      return fail(Errc::Invalid, "expected =, !=, <, <=, > or >= in {}", shown(text));
    condition.compare = found->second;
    value = text.substr(sign + found->first.size());
    const Cut masked = cut(text.substr(0, sign), '&');
    name = masked.before;
    mask = masked.after;
  }
  const auto argument = name.empty() ? deciding_argument(call) : argument_named(call, name);
  if (!argument && name.empty())
    return fail(Errc::Invalid, "say which argument of {} (arg0=VALUE to arg5=VALUE)", call);
  if (!argument)
    return fail(Errc::Invalid, "{} has no argument {}; arg0 to arg5 always work", call, shown(name));
  condition.argument = *argument;
  condition.mask = bits_of_argument(call, *argument);
  if (!mask.empty()) {
    FURNACE_TRY(const uint64_t bits, parse_value(mask));
    condition.mask &= bits;
  }
  FURNACE_TRY(condition.value, parse_value(value));
  // A negative number in an int.
  if (condition.mask <= UINT32_MAX && condition.value >= UINT64_MAX - INT32_MAX)
    condition.value &= UINT32_MAX;
  return condition;
}

}  // namespace furnace::policy
