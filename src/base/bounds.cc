#include "base/bounds.h"

#include "base/text.h"

namespace furnace {

std::string to_text(const Bounds& bounds) {
  return fmt::format("{} to {}{}{}", bounds.least, bounds.most, bounds.unit.empty() ? "" : " ", bounds.unit);
}

tl::unexpected<Error> out_of_bounds(std::string_view what, std::string_view written, const Bounds& bounds) {
  constexpr size_t shown = 80;
  return fail(Errc::Invalid, "{} is {}: expected a whole number, {}", what, written.substr(0, shown),
              to_text(bounds));
}

Result<int64_t> parse_number(std::string_view what, std::string_view text, const Bounds& bounds) {
  const auto number = parse_number<int64_t>(text);
  if (!number || *number < bounds.least || *number > bounds.most)
    return out_of_bounds(what, text.empty() ? "empty" : text, bounds);
  return *number;
}

}  // namespace furnace
