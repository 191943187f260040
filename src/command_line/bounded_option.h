// Numbers on the command line: each within its bounds, which --help shows. All of these are for
// CLI::Option::check; CLI11 puts the option's name in front of the error.
#pragma once

#include <CLI/CLI.hpp>

#include "base/bounds.h"

namespace furnace {

/// The error of `parse(text)`, which returns a Result. `shown` is for --help.
template <typename Parse>
[[nodiscard]] CLI::Validator checked_by(const Parse& parse, const std::string& shown = "") {
  return {[parse](std::string& text) {
            const auto parsed = parse(text);
            return parsed ? std::string() : parsed.error().message();
          },
          shown};
}

[[nodiscard]] inline CLI::Validator within(const Bounds& bounds) {
  return checked_by([bounds](const std::string& text) { return parse_number("it", text, bounds); },
                    to_text(bounds));
}

/// Seconds, and parts of them.
[[nodiscard]] inline CLI::Validator seconds_within(double least, double most) {
  const std::string allowed = fmt::format("{} to {} s", least, most);
  return checked_by(
      [=](const std::string& text) -> Result<double> {
        double seconds = 0;
        if (CLI::detail::lexical_cast(text, seconds) && seconds >= least && seconds <= most) return seconds;
        return fail(Errc::Invalid, "it is {}: expected seconds, {}", text, allowed);
      },
      allowed);
}

}  // namespace furnace
