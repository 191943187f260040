// A line of a policy file.
#pragma once

#include <fmt/format.h>

#include <algorithm>
#include <string>
#include <string_view>

#include "base/printable.h"
#include "base/result.h"
#include "sandbox/policy/policy.h"

namespace furnace::policy {

/// A word for an error message.
inline std::string shown(std::string_view word) {
  constexpr size_t longest = 60;
  return word.empty() ? "the end of the line" : fmt::format("'{}'", printable(word.substr(0, longest)));
}

/// A line of a policy, taken word by word.
class PolicyLine {
 public:
  PolicyLine(std::string_view text, std::string file, uint32_t number) : place_{std::move(file), number, 1} {
    // A '#' inside a word belongs to it: paths may hold one.
    size_t comment = text.find('#');
    while (comment != std::string_view::npos && comment != 0 && !is_space(text[comment - 1]))
      comment = text.find('#', comment + 1);
    text_ = text.substr(0, comment);
    while (!text_.empty() && is_space(text_.back())) text_.remove_suffix(1);
    skip_space();
  }

  [[nodiscard]] bool at_end() const { return at_ == text_.size(); }
  /// Of what comes next.
  [[nodiscard]] RulePlace place() const {
    RulePlace place = place_;
    place.column = static_cast<uint32_t>(at_ + 1);
    return place;
  }
  [[nodiscard]] std::string_view peek() const {
    const size_t end = std::min(text_.find_first_of(" \t", at_), text_.size());
    return text_.substr(at_, end - at_);
  }
  std::string_view word() {
    const std::string_view found = peek();
    at_ += found.size();
    skip_space();
    return found;
  }
  std::string_view rest() {
    const std::string_view found = text_.substr(at_);
    at_ = text_.size();
    return found;
  }
  /// Without white space before it.
  [[nodiscard]] std::string_view whole() const {
    const size_t start = std::min(text_.find_first_not_of(" \t"), text_.size());
    return text_.substr(start);
  }

  template <typename... Args>
  tl::unexpected<Error> error(fmt::format_string<Args...> format, Args&&... args) const {
    return fail(Errc::Invalid, "{}: {}", place().text(), fmt::format(format, std::forward<Args>(args)...));
  }

 private:
  static bool is_space(char c) { return c == ' ' || c == '\t' || c == '\r'; }
  void skip_space() {
    while (at_ < text_.size() && is_space(text_[at_])) ++at_;
  }

  std::string_view text_;
  RulePlace place_;
  size_t at_ = 0;
};

}  // namespace furnace::policy
