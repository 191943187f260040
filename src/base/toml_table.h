// Reads a TOML document of a user's: values by name and type, and an error with file and line for each that
// is wrong, or unknown. A room that includes this links toml++.
#pragma once

#include <fmt/ranges.h>
#include <toml++/toml.h>

#include <algorithm>
#include <limits>
#include <optional>
#include <set>
#include <sstream>
#include <string>
#include <string_view>
#include <vector>

#include "base/bounds.h"
#include "base/result.h"
#include "base/text.h"

namespace furnace {

/// A line of a text, counted from 1.
inline std::string_view line_of(std::string_view text, size_t number) {
  for (const std::string_view line : lines(text))
    if (--number == 0) return line;
  return {};
}

/// The error of a document that is none names the line, and shows it.
inline Result<toml::table> parse_toml(std::string_view text, std::string_view file_name) {
  try {
    return toml::parse(text, file_name);
  } catch (const toml::parse_error& error) {  // Debian builds the library with exceptions
    const auto line = error.source().begin.line;
    constexpr size_t shown = 80;
    return fail(Errc::Invalid, "{}:{}: {} (in: {})", file_name, line, error.description(),
                line_of(text, line).substr(0, shown));
  }
}

/// A table of the document: takes values out by name, and knows which names were not taken.
class TomlTable {
 public:
  TomlTable(const toml::table& table, std::string_view file) : table_(table), file_(file) {}

  template <typename T>
  Status take(std::string_view name, T& value) {
    const toml::node* node = find(name);
    return node == nullptr ? Status() : read(*node, name, value);
  }

  /// A whole number within its bounds.
  template <typename Number>
  Status take(std::string_view name, Number& value, const Bounds& bounds) {
    const toml::node* node = find(name);
    if (node == nullptr) return {};
    const auto number = node->value_exact<int64_t>();
    if (!number || *number < bounds.least || *number > bounds.most) {
      const auto error = out_of_bounds(fmt::format("'{}'", name), text_of(*node), bounds);
      return at(node->source(), error.value().message());
    }
    value = static_cast<Number>(*number);
    return {};
  }

  /// A key that may be absent.
  template <typename T>
  Status take(std::string_view name, std::optional<T>& value, const Bounds& bounds) {
    T given{};
    FURNACE_CHECK(take(name, given, bounds));
    if (has(name)) value = given;
    return {};
  }

  template <typename T>
  Status take_list(std::string_view name, std::vector<T>& values) {
    const toml::node* node = find(name);
    if (node == nullptr) return {};
    const toml::array* array = node->as_array();
    if (array == nullptr) return wrong(*node, name, "a list");
    for (const toml::node& element : *array) {
      T value{};
      FURNACE_CHECK(read(element, name, value));
      values.push_back(std::move(value));
    }
    return {};
  }

  /// A table, or a list of tables, each given to `each(TomlTable&)`.
  template <typename Each>
  Status take_tables(std::string_view name, const Each& each) {
    const toml::node* node = find(name);
    if (node == nullptr) return {};
    if (const toml::table* one = node->as_table()) return whole(*one, each);
    const toml::array* array = node->as_array();
    if (array == nullptr) return wrong(*node, name, "a table, or a list of tables");
    for (const toml::node& element : *array) {
      const toml::table* table = element.as_table();
      if (table == nullptr) return wrong(element, name, "a table");
      FURNACE_CHECK(whole(*table, each));
    }
    return {};
  }

  /// From then on the name is one of those that are known here.
  [[nodiscard]] bool has(std::string_view name) { return find(name) != nullptr; }
  [[nodiscard]] tl::unexpected<Error> invalid(std::string_view text) const {
    return at(table_.source(), text);
  }

  /// Fails for names that were not taken, a line for each: most likely they are misspelt.
  Status finish() const {
    std::vector<std::string> unknown;
    for (const auto& [key, value] : table_)
      if (!taken_.contains(key.str()))
        unknown.push_back(at(value.source(), fmt::format("unknown key '{}'; known here are {}", key.str(),
                                                         fmt::join(taken_, ", ")))
                              .value()
                              .message());
    if (unknown.empty()) return {};
    return fail(Errc::Invalid, "{}", fmt::join(unknown, "\n"));
  }

 private:
  const toml::node* find(std::string_view name) {
    taken_.emplace(name);
    return table_.get(name);
  }

  template <typename Each>
  Status whole(const toml::table& table, const Each& each) {
    TomlTable inner(table, file_);
    FURNACE_CHECK(each(inner));
    return inner.finish();
  }

  [[nodiscard]] tl::unexpected<Error> at(const toml::source_region& where, std::string_view text) const {
    return fail(Errc::Invalid, "{}:{}: {}", file_, where.begin.line, text);
  }
  [[nodiscard]] tl::unexpected<Error> wrong(const toml::node& node, std::string_view name,
                                            std::string_view expected) const {
    return at(node.source(), fmt::format("'{}': expected {}", name, expected));
  }

  /// As it is written, more or less.
  static std::string text_of(const toml::node& node) {
    std::ostringstream text;
    node.visit([&text](const auto& typed) { text << typed; });
    return text.str();
  }

  Status read(const toml::node& node, std::string_view name, std::string& value) const {
    const auto text = node.value<std::string>();
    if (!text) return wrong(node, name, "text");
    value = *text;
    return {};
  }
  Status read(const toml::node& node, std::string_view name, bool& value) const {
    const auto flag = node.value_exact<bool>();
    if (!flag) return wrong(node, name, "true or false");
    value = *flag;
    return {};
  }
  Status read(const toml::node& node, std::string_view name, double& value) const {
    const auto number = node.value<double>();
    if (!number || !(*number >= 0)) return wrong(node, name, "seconds, 0 or more");
    value = *number;
    return {};
  }
  // TOML's integers have a sign and 64 bits; kernel addresses are written as text: "0xffffffff81000000".
  Status read(const toml::node& node, std::string_view name, uint64_t& value) const {
    if (const auto number = node.value_exact<int64_t>(); number && *number >= 0) {
      value = static_cast<uint64_t>(*number);
      return {};
    }
    const auto text = node.value_exact<std::string>();
    const auto number = text ? parse_literal(*text) : std::nullopt;
    if (!number) return wrong(node, name, "a whole number from 0 to 18446744073709551615");
    value = *number;
    return {};
  }
  template <typename Number>
  Status read(const toml::node& node, std::string_view name, Number& value) const {
    const auto number = node.value_exact<int64_t>();
    if (!number || *number < std::numeric_limits<Number>::min() ||
        *number > std::numeric_limits<Number>::max())
      return wrong(node, name,
                   fmt::format("a whole number from {} to {}", std::numeric_limits<Number>::min(),
                               std::numeric_limits<Number>::max()));
    value = static_cast<Number>(*number);
    return {};
  }

  const toml::table& table_;
  std::string_view file_;
  std::set<std::string, std::less<>> taken_;
};

}  // namespace furnace
