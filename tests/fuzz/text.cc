// All ways of taking a text apart; the parts together are the text again.
#include "base/text.h"

#include <cstdlib>

#include "base/bytes.h"
#include "fuzz.h"

namespace {

size_t size_of(const furnace::Parts& parts) {
  size_t size = 0;
  for (const std::string_view part : parts) size += part.size() + 1;
  return size;
}

void require(bool holds) {
  if (!holds) std::abort();
}

}  // namespace

FUZZ(text) {
  using namespace furnace;
  const std::string_view text = as_text(input);
  require(size_of(split(text, ',')) == text.size() + 1);
  const bool complete = text.empty() || text.back() == '\n';
  require(size_of(lines(text)) == text.size() + (complete ? 0 : 1));
  for (const std::string_view word : words(text)) require(trimmed(word) == word && !word.empty());
  for (const std::string_view line : lines(text)) {
    const Cut parts = cut(line, '=');
    require(parts.before.size() + parts.after.size() + (parts.found ? 1 : 0) == line.size());
    std::string_view rest = line;
    if (const auto number = take_number<int64_t>(rest))
      require(rest.size() < line.size() && parse_number<int64_t>(line).has_value() == rest.empty());
    (void)parse_number<uint32_t>(line, 16);
    (void)parse_literal(line);
    if (const auto endpoint = parse_endpoint("fuzz", line, {0, UINT16_MAX}))
      require(!without_brackets(endpoint->host).empty());
  }
}
