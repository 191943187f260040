#include "guest/profile/system_map.h"

#include <algorithm>
#include <charconv>
#include <optional>

#include "base/printable.h"

namespace furnace::guest {
namespace {

struct Line {
  ProfileParts::Symbol symbol;
  bool of_module = false;
};

std::optional<Line> parse_line(std::string_view text) {
  Line line;
  const char* end = text.data() + text.size();
  const auto [behind, error] = std::from_chars(text.data(), end, line.symbol.address, 16);
  if (error != std::errc() || end - behind < 4 || behind[0] != ' ' || behind[2] != ' ') return std::nullopt;
  line.symbol.type = behind[1];
  std::string_view name(behind + 3, static_cast<size_t>(end - behind - 3));
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
  for (size_t number = 1; !text.empty(); ++number) {
    const size_t end = std::min(text.find('\n'), text.size());
    const std::string_view whole = text.substr(0, end);
    text.remove_prefix(std::min(end + 1, text.size()));
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
