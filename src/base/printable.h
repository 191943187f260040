// Text of others, made safe for terminals and logs.
//
// A guest, a tenant, a peer or a file chooses many of the texts that Furnace shows. Such a text must not act
// on the terminal, hide or reorder what is beside it, or pass for a line of another writer. What could do so
// is shown as an escape: \n, \r, \t; \x1b for other control characters and for bytes that are not UTF-8;
// \u202e and \U000e0001 for characters that show nothing, change the direction, are spaces of another kind,
// or are not assigned.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace furnace {

/// Returns `text` as one word of a line. A backslash is escaped as well, so that two different texts never
/// look alike.
[[nodiscard]] std::string printable(std::string_view text);

/// Returns `text` with its lines, tabs and backslashes as they are: for what is put together of safe words
/// already, and for what a program prints.
[[nodiscard]] std::string printable_lines(std::string_view text);

/// The same for a text that comes in pieces, which may end within a character.
class PrintableStream {
 public:
  [[nodiscard]] std::string take(std::string_view piece);
  /// Returns what is left of a character that has no end.
  [[nodiscard]] std::string end();

 private:
  std::string begun_;
  size_t marks_ = SIZE_MAX;  ///< on the last character; at the start there is none to carry one
};

/// Returns how many columns of a terminal a printable text takes.
[[nodiscard]] size_t columns_of(std::string_view printable);

/// Returns `text` as a word that takes exactly `width` columns: cut, or with spaces after it.
[[nodiscard]] std::string column(std::string_view text, size_t width);

/// Returns `text` as a word that takes at least `width` columns.
[[nodiscard]] std::string padded(std::string_view text, size_t width);

}  // namespace furnace
