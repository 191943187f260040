// Reads a TOML document of a user's: values by name and type, and an error with file and line for each that
// is wrong, or that nobody knows. Who includes this links toml++.
#pragma once

#include <fmt/ranges.h>
#include <toml++/toml.h>

#include <cstdlib>
#include <limits>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace furnace {

/// The error of a document that is none names the line.
inline Result<toml::table> parse_toml(std::string_view text, std::string_view file_name) {
  try {
    return toml::parse(text, file_name);
  } catch (const toml::parse_error& error) {  // Debian builds the library with exceptions
    return fail(Errc::Invalid, "{}:{}: {}", file_name, error.source().begin.line, error.description());
  }
}

/// A table of the document: takes values out by name, and knows which names nobody took.
class TomlTable {
 public:
  TomlTable(const toml::table& table, std::string_view file) : table_(table), file_(file) {}

  template <typename T>
  Status take(std::string_view name, T& value) {
    const toml::node* node = find(name);
    return node == nullptr ? Status() : read(*node, name, value);
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

  [[nodiscard]] bool has(std::string_view name) const { return table_.contains(name); }
  [[nodiscard]] tl::unexpected<Error> invalid(std::string_view text) const {
    return at(table_.source(), text);
  }

  /// Fails for a name that was not taken: most likely it is misspelt.
  Status finish() const {
    for (const auto& [key, value] : table_)
      if (!taken_.contains(key.str()))
        return at(value.source(),
                  fmt::format("unknown key '{}'; known here are {}", key.str(), fmt::join(taken_, ", ")));
    return {};
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
    if (const auto number = node.value_exact<int64_t>()) {
      value = static_cast<uint64_t>(*number);
      return {};
    }
    const auto text = node.value_exact<std::string>();
    char* end = nullptr;
    if (text) value = std::strtoull(text->c_str(), &end, 0);
    if (end == nullptr || *end != '\0' || text->empty()) return wrong(node, name, "a whole number");
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
