#include "inspector/condition_parser.h"

#include <array>
#include <charconv>

#include "inspector/arguments.h"
#include "inspector/constants.h"
#include "inspector/policy_line.h"

namespace furnace::inspector {
namespace {

std::optional<uint64_t> parse_number(std::string_view text) {
  const bool negative = text.starts_with('-');
  if (negative) text.remove_prefix(1);
  int base = 10;
  if (text.starts_with("0x") || text.starts_with("0X")) {
    base = 16;
    text.remove_prefix(2);
  } else if (text.size() > 1 && text.starts_with('0')) {
    base = 8;
  }
  uint64_t value = 0;
  const char* const last = text.data() + text.size();
  const auto [end, error] = std::from_chars(text.data(), last, value, base);
  if (text.empty() || error != std::errc() || end != last) return std::nullopt;
  return negative ? 0 - value : value;
}

/// Numbers and names, joined by '|'.
Result<uint64_t> parse_value(std::string_view text) {
  uint64_t all = 0;
  while (true) {
    const size_t end = std::min(text.find('|'), text.size());
    const std::string_view part = text.substr(0, end);
    const auto number = parse_number(part);
    const auto named = number ? number : constant(part);
    if (!named)
      return fail(Errc::Invalid, "expected a number or the name of a constant, not {}", shown(part));
    all |= *named;
    if (end == text.size()) return all;
    text.remove_prefix(end + 1);
  }
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
    name = text.substr(0, sign);
    if (const size_t ampersand = name.find('&'); ampersand != std::string_view::npos) {
      mask = name.substr(ampersand + 1);
      name = name.substr(0, ampersand);
    }
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

}  // namespace furnace::inspector
