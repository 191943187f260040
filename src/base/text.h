// Takes text apart: lines, lists, words, numbers, HOST:PORT. None of it trusts the text. The results are
// parts of the text and live as long as it does.
#pragma once

#include <charconv>
#include <concepts>
#include <cstdint>
#include <iterator>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/bounds.h"
#include "base/result.h"

namespace furnace {

/// What is before and after a separator. Without one, all of the text is before it.
struct Cut {
  std::string_view before, after = {};
  bool found = false;
};
/// Cuts at the first separator.
[[nodiscard]] Cut cut(std::string_view text, char separator);
/// Cuts at the last separator.
[[nodiscard]] Cut cut_last(std::string_view text, char separator);

/// The parts of a text between its separators, for a range-based `for`.
class Parts {
 public:
  class Iterator {
   public:
    using value_type = std::string_view;
    using difference_type = std::ptrdiff_t;
    Iterator() = default;
    Iterator(std::string_view text, char separator, bool ends_with_separator)
        : rest_(text), separator_(separator), ends_with_separator_(ends_with_separator) {
      ++*this;
    }
    std::string_view operator*() const { return part_; }
    Iterator& operator++();
    void operator++(int) { ++*this; }
    friend bool operator==(const Iterator& at, std::default_sentinel_t /*end*/) { return at.done_; }

   private:
    std::string_view part_, rest_;
    char separator_ = 0;
    bool ends_with_separator_ = false, more_ = true, done_ = false;
  };

  Parts(std::string_view text, char separator, bool ends_with_separator)
      : text_(text), separator_(separator), ends_with_separator_(ends_with_separator) {}
  [[nodiscard]] Iterator begin() const { return {text_, separator_, ends_with_separator_}; }
  [[nodiscard]] std::default_sentinel_t end() const { return {}; }

 private:
  std::string_view text_;
  char separator_;
  bool ends_with_separator_;
};

/// One part more than there are separators: "" has one, "a,,b," has four.
[[nodiscard]] inline Parts split(std::string_view text, char separator) {
  return {text, separator, false};
}
/// The same, but a part that is empty and the last is none: "" has none, "a,,b," has three.
[[nodiscard]] inline Parts items(std::string_view text, char separator) {
  return {text, separator, true};
}
[[nodiscard]] inline Parts lines(std::string_view text) {
  return items(text, '\n');
}
// The text would be destroyed before its parts are read.
template <std::same_as<std::string> Text>
Parts split(Text&& text, char separator) = delete;
template <std::same_as<std::string> Text>
Parts items(Text&& text, char separator) = delete;
template <std::same_as<std::string> Text>
Parts lines(Text&& text) = delete;

inline constexpr std::string_view kBlanks = " \t\r\n";
/// The text without blanks around it.
[[nodiscard]] std::string_view trimmed(std::string_view text);
/// The words between blanks; none is empty.
[[nodiscard]] std::vector<std::string_view> words(std::string_view text);

/// Removes a number from the beginning of a text. Returns nullopt, and leaves the text, if there is none or
/// if it does not fit in the type.
template <std::integral Number>
[[nodiscard]] std::optional<Number> take_number(std::string_view& text, int base = 10) {
  Number number{};
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number, base);
  if (error != std::errc()) return std::nullopt;
  text.remove_prefix(static_cast<size_t>(end - text.data()));
  return number;
}

/// Returns the number that the whole text is. `base` 16: without "0x".
/// bounds.h has a `parse_number` with a range, whose error says what was expected.
template <std::integral Number>
[[nodiscard]] std::optional<Number> parse_number(std::string_view text, int base = 10) {
  const auto number = take_number<Number>(text, base);
  return text.empty() ? number : std::nullopt;
}

/// Returns the number that the whole text is, written as in C: 10, 0x1f, 017.
[[nodiscard]] std::optional<uint64_t> parse_literal(std::string_view text);

struct Endpoint {
  std::string host;  ///< as it was written: an IPv6 address may be in brackets
  uint16_t port = 0;
};
/// HOST:PORT. The errors begin with `what`.
[[nodiscard]] Result<Endpoint> parse_endpoint(std::string_view what, std::string_view text,
                                              const Bounds& ports);
/// The host without the brackets of an IPv6 address.
[[nodiscard]] std::string_view without_brackets(std::string_view host);

}  // namespace furnace
