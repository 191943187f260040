#include "guest/profile/system_map.h"

#include <algorithm>
#include <optional>

#include "base/printable.h"
#include "base/text.h"

namespace furnace::guest {
namespace {

struct Line {
  ProfileParts::Symbol symbol;
  bool of_module = false;
};

std::optional<Line> parse_line(std::string_view text) {
  Line line;
  const auto address = take_number<uint64_t>(text, 16);
  if (!address || text.size() < 4 || text[0] != ' ' || text[2] != ' ') return std::nullopt;
  line.symbol.address = *address;
  line.symbol.type = text[1];
  std::string_view name = text.substr(3);
  if (const size_t blank = name.find_first_of(" \t"); blank != std::string_view::npos) {
    line.of_module = true;
    name = name.substr(0, blank);
  }
  if (name.empty() || line.symbol.type <= ' ' || line.symbol.type > '~') return std::nullopt;
  line.symbol.name = name;
  return line;
}

}  // namespace

bool looks_like_system_map(std::string_view text) {
  return parse_line(text.substr(0, std::min(text.find('\n'), size_t{1024}))).has_value();
}

Result<ProfileParts> parse_system_map(std::string_view text) {
  ProfileParts parts;
  size_t number = 0;
  for (const std::string_view whole : lines(text)) {
    ++number;
    if (whole.empty()) continue;
    auto line = parse_line(whole);
    if (!line)
      return fail(Errc::Invalid, "line {}: '{}' is not 'ADDRESS TYPE NAME'", number,
                  printable(whole.substr(0, 60)));
    if (!line->of_module) parts.symbols.push_back(std::move(line->symbol));
  }
  return parts;
}

}  // namespace furnace::guest
