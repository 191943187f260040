// Tables with a row for each enumerator of an enumeration. A row that is missing or misplaced does not
// compile.
#pragma once

#include <array>
#include <cstddef>
#include <string_view>
#include <utility>

namespace furnace {
namespace enums {

/// Returns true if the enumeration has an enumerator of this value. The compiler names the others "(Enum)7".
template <auto Value>
consteval bool is_named() {
  constexpr std::string_view signature = __PRETTY_FUNCTION__;
  constexpr size_t end = signature.rfind(']');
  size_t start = end;
  const auto in_name = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_';
  };
  while (start > 0 && in_name(signature[start - 1])) --start;
  return start < end && !(signature[start] >= '0' && signature[start] <= '9');
}

}  // namespace enums

/// The number of enumerators, which are 0, 1, 2 ... without a gap.
template <typename Enum, size_t From = 0>
consteval size_t count_of() {
  if constexpr (enums::is_named<static_cast<Enum>(From)>())
    return count_of<Enum, From + 1>();
  else
    return From;
}

template <typename Key, typename Value>
struct EnumRow {
  Key key;
  Value value;
};

/// `constexpr EnumTable<Colour, int> table({{Colour::Red, 7}, {Colour::Green, 9}});`
template <typename Key, typename Value>
class EnumTable {
 public:
  static constexpr size_t kRows = count_of<Key>();

  template <size_t N>
  consteval EnumTable(const EnumRow<Key, Value> (&rows)[N]) : EnumTable(rows, std::make_index_sequence<N>()) {
    static_assert(N == kRows, "the table has a row for each enumerator");
    for (size_t i = 0; i < N; ++i)
      if (rows[i].key != static_cast<Key>(i)) throw "the rows are in the order of the enumerators";
  }

  /// Returns false for a number that is no enumerator, as it may come from outside.
  [[nodiscard]] static constexpr bool has(Key key) { return static_cast<size_t>(key) < kRows; }
  [[nodiscard]] constexpr const Value& operator[](Key key) const {
    return rows_.at(static_cast<size_t>(key)).value;
  }
  [[nodiscard]] constexpr auto begin() const { return rows_.begin(); }
  [[nodiscard]] constexpr auto end() const { return rows_.end(); }

 private:
  template <size_t... I>
  consteval EnumTable(const EnumRow<Key, Value> (&rows)[sizeof...(I)], std::index_sequence<I...>)
      : rows_{{rows[I]...}} {}

  std::array<EnumRow<Key, Value>, kRows> rows_;
};

}  // namespace furnace
