#include "base/text.h"

#include <algorithm>

namespace furnace {
namespace {

Cut cut_at(std::string_view text, size_t at) {
  if (at == std::string_view::npos) return {text};
  return {text.substr(0, at), text.substr(at + 1), true};
}

}  // namespace

Cut cut(std::string_view text, char separator) {
  return cut_at(text, text.find(separator));
}

Cut cut_last(std::string_view text, char separator) {
  return cut_at(text, text.rfind(separator));
}

Parts::Iterator& Parts::Iterator::operator++() {
  if (!more_ || (ends_with_separator_ && rest_.empty())) {
    done_ = true;
    return *this;
  }
  const Cut next = cut(rest_, separator_);
  part_ = next.before;
  rest_ = next.after;
  more_ = next.found;
  return *this;
}

std::string_view trimmed(std::string_view text) {
  const size_t first = text.find_first_not_of(kBlanks);
  if (first == std::string_view::npos) return {};
  return text.substr(first, text.find_last_not_of(kBlanks) + 1 - first);
}

std::vector<std::string_view> words(std::string_view text) {
  std::vector<std::string_view> all;
  for (size_t at = text.find_first_not_of(kBlanks); at != std::string_view::npos;) {
    const size_t end = std::min(text.find_first_of(kBlanks, at), text.size());
    all.push_back(text.substr(at, end - at));
    at = text.find_first_not_of(kBlanks, end);
  }
  return all;
}

std::optional<uint64_t> parse_literal(std::string_view text) {
  if (text.starts_with("0x") || text.starts_with("0X")) return parse_number<uint64_t>(text.substr(2), 16);
  return parse_number<uint64_t>(text, text.size() > 1 && text.starts_with('0') ? 8 : 10);
}

Result<Endpoint> parse_endpoint(std::string_view what, std::string_view text, const Bounds& ports) {
  const Cut parts = cut_last(text, ':');
  if (!parts.found || without_brackets(parts.before).empty())
    return fail(Errc::Invalid, "{}: expected HOST:PORT", what);
  FURNACE_TRY(const int64_t port, parse_number(fmt::format("{}: port", what), parts.after, ports));
  return Endpoint{std::string(parts.before), static_cast<uint16_t>(port)};
}

std::string_view without_brackets(std::string_view host) {
  return host.starts_with('[') && host.ends_with(']') ? host.substr(1, host.size() - 2) : host;
}

}  // namespace furnace
