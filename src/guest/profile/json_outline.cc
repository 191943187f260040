#include "guest/profile/json_outline.h"

#include <algorithm>
#include <array>

#include "base/bytes.h"
#include "guest/profile/json.h"

namespace furnace::guest::json {
namespace {

/// Characters that matter to someone who only looks for the end of a value.
enum class Mark : uint8_t { None, Quote, Open, Close, Separator };

constexpr std::array<Mark, 256> kMarks = [] {
  std::array<Mark, 256> marks{};
  marks['"'] = Mark::Quote;
  marks['{'] = marks['['] = Mark::Open;
  marks['}'] = marks[']'] = Mark::Close;
  marks[','] = Mark::Separator;
  return marks;
}();

class Scanner {
 public:
  explicit Scanner(std::string_view text) : text_(text) {}

  /// Takes `symbol`, after white space, if it is what comes next.
  bool take(char symbol) {
    at_ = std::min(text_.find_first_not_of(" \t\r\n", at_), text_.size());
    if (at_ == text_.size() || text_[at_] != symbol) return false;
    ++at_;
    return true;
  }

  Status expect(char symbol) {
    if (take(symbol)) return {};
    return fail(Errc::Invalid, "JSON: expected '{}' at offset {}", symbol, at_);
  }

  /// The member's name, and the colon after it.
  Result<std::string> name() {
    FURNACE_CHECK(expect('"'));
    const size_t start = --at_;
    skip_string();
    std::string_view name;
    const std::string_view quoted = text_.substr(start, at_ - start);
    if (parser_.parse(quoted.data(), quoted.size(), /*realloc_if_needed=*/false).get(name))
      return fail(Errc::Invalid, "JSON: no name of a member at offset {}", start);
    std::string copy(name);
    FURNACE_CHECK(expect(':'));
    return copy;
  }

  /// Everything up to the ',' or '}' that ends the value, which is left to be taken.
  std::string_view value() {
    const size_t start = at_;
    size_t depth = 0;
    for (; at_ < text_.size(); ++at_) {
      switch (kMarks[static_cast<uint8_t>(text_[at_])]) {
        case Mark::None:
          break;
        case Mark::Quote:
          skip_string();
          --at_;
          break;
        case Mark::Open:
          ++depth;
          break;
        case Mark::Close:
          if (depth == 0) return text_.substr(start, at_ - start);
          --depth;
          break;
        case Mark::Separator:
          if (depth == 0) return text_.substr(start, at_ - start);
          break;
      }
    }
    return text_.substr(start);
  }

  /// Calls `member` at each value of an object whose '{' was taken, until its '}' is.
  template <typename F>
  Status members(F&& member) {
    if (take('}')) return {};
    do {
      FURNACE_TRY(std::string key, name());
      FURNACE_CHECK(member(std::move(key)));
    } while (take(','));
    return expect('}');
  }

  Status end() {
    at_ = std::min(text_.find_first_not_of(" \t\r\n", at_), text_.size());
    if (at_ == text_.size()) return {};
    return fail(Errc::Invalid, "JSON: more text after the object, at offset {}", at_);
  }

 private:
  /// From a quote to the place after the one that ends the string.
  void skip_string() {
    for (++at_; at_ < text_.size() && text_[at_] != '"'; ++at_)
      if (text_[at_] == '\\') ++at_;
    at_ = std::min(at_ + 1, text_.size());
  }

  std::string_view text_;
  size_t at_ = 0;
  simdjson::dom::parser parser_;
};

}  // namespace

Result<Outline> Outline::read(const PaddedText& text) {
  Outline outline;
  Scanner scanner(text.view());
  const auto read_section = [&](std::string name) -> Status {
    Section& section = outline.sections_.emplace_back(Section{std::move(name), scanner.take('{'), {}});
    if (!section.is_object) {
      scanner.value();
      return {};
    }
    return scanner.members([&](std::string key) -> Status {
      section.members.push_back({std::move(key), scanner.value()});
      return {};
    });
  };
  FURNACE_CHECK(scanner.expect('{'));
  FURNACE_CHECK(scanner.members(read_section));
  FURNACE_CHECK(scanner.end());
  return outline;
}

Result<const Outline::Members*> Outline::section(std::string_view name) const {
  const auto found = std::find_if(sections_.begin(), sections_.end(),
                                  [&](const Section& section) { return section.name == name; });
  if (found == sections_.end()) return fail(Errc::Invalid, "'{}' is missing", name);
  if (!found->is_object) return fail(Errc::Invalid, "'{}': expected an object", name);
  return &found->members;
}

const Outline::Members& Outline::optional_section(std::string_view name) const {
  static const Members none;
  const auto found = section(name);
  return found ? **found : none;
}

}  // namespace furnace::guest::json
