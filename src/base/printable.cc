#include "base/printable.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdint>
#include <utility>

#include "base/bytes.h"
#include "base/character_table.h"

namespace furnace {
namespace {

/// More on one character than any script needs would grow over the lines above and below.
constexpr size_t kMostMarks = 4;

CharacterKind kind_of(uint32_t code) {
  if (code >= 0x20 && code < 0x7f) return CharacterKind::Narrow;
  const auto* const range =
      std::lower_bound(kCharacterRanges.begin(), kCharacterRanges.end(), code,
                       [](const CharacterRange& each, uint32_t wanted) { return each.last < wanted; });
  return range != kCharacterRanges.end() && range->first <= code ? range->kind : CharacterKind::Narrow;
}

/// Returns the character that a valid UTF-8 sequence encodes.
uint32_t decode(std::string_view sequence) {
  constexpr std::array<uint32_t, 5> of_lead = {0, 0x7f, 0x1f, 0x0f, 0x07};
  uint32_t code = static_cast<uint8_t>(sequence[0]) & of_lead.at(sequence.size());
  for (const char next : sequence.substr(1)) code = code << 6 | (static_cast<uint8_t>(next) & 0x3fU);
  return code;
}

std::string escape(uint32_t code) {
  switch (code) {
    case '\n':
      return "\\n";
    case '\r':
      return "\\r";
    case '\t':
      return "\\t";
    case '\\':
      return "\\\\";
    default:
      return code < 0x80      ? fmt::format("\\x{:02x}", code)
             : code < 0x10000 ? fmt::format("\\u{:04x}", code)
                              : fmt::format("\\U{:08x}", code);
  }
}

enum class Form { Word, Lines };

/// Appends one character, or an escape for it. `marks`: how many the character before it has.
void append(std::string& safe, std::string_view sequence, Form form, size_t& marks) {
  const uint32_t code = decode(sequence);
  const CharacterKind kind = kind_of(code);
  const bool of_lines = code == '\n' || code == '\t';
  if (form == Form::Lines && of_lines) {
    safe += sequence;
    marks = SIZE_MAX;
  } else if (kind == CharacterKind::Hidden || (form == Form::Word && code == '\\') ||
             (kind == CharacterKind::Mark && marks >= kMostMarks)) {
    safe += escape(code);
    marks = SIZE_MAX;
  } else {
    safe += sequence;
    marks = kind == CharacterKind::Mark ? marks + 1 : 0;
  }
}

void append_all(std::string& safe, std::string_view text, Form form, size_t& marks) {
  while (!text.empty()) {
    const size_t length = utf8_sequence(text);
    if (length == 0) {
      safe += fmt::format("\\x{:02x}", static_cast<uint8_t>(text[0]));
      marks = SIZE_MAX;
    } else {
      append(safe, text.substr(0, length), form, marks);
    }
    text.remove_prefix(std::max<size_t>(length, 1));
  }
}

std::string safe_text(std::string_view text, Form form) {
  std::string safe;
  safe.reserve(text.size());
  size_t marks = SIZE_MAX;
  append_all(safe, text, form, marks);
  return safe;
}

/// How many bytes at the end may be the beginning of a character.
size_t begun_at_end(std::string_view text) {
  for (size_t back = 1; back <= std::min<size_t>(3, text.size()); ++back) {
    const auto byte = static_cast<uint8_t>(text[text.size() - back]);
    if ((byte & 0xc0U) == 0x80) continue;
    const size_t length = byte >= 0xf0 ? 4 : byte >= 0xe0 ? 3 : byte >= 0xc2 ? 2 : 1;
    return length > back && byte <= 0xf4 ? back : 0;
  }
  return 0;
}

/// Calls `each` with the characters of a valid text, and how many columns they take, until it returns false.
template <typename Each>
void for_each_character(std::string_view text, const Each& each) {
  while (!text.empty()) {
    const size_t length = std::max<size_t>(utf8_sequence(text), 1);
    const CharacterKind kind = kind_of(decode(text.substr(0, length)));
    const size_t width = kind == CharacterKind::Mark ? 0 : kind == CharacterKind::Wide ? 2 : 1;
    if (!each(text.substr(0, length), width)) return;
    text.remove_prefix(length);
  }
}

}  // namespace

std::string printable(std::string_view text) {
  return safe_text(text, Form::Word);
}

std::string printable_lines(std::string_view text) {
  return safe_text(text, Form::Lines);
}

std::string PrintableStream::take(std::string_view piece) {
  begun_ += piece;
  const size_t whole = begun_.size() - begun_at_end(begun_);
  std::string safe;
  append_all(safe, std::string_view(begun_).substr(0, whole), Form::Lines, marks_);
  begun_.erase(0, whole);
  return safe;
}

std::string PrintableStream::end() {
  std::string safe;
  append_all(safe, std::exchange(begun_, {}), Form::Lines, marks_);
  return safe;
}

size_t columns_of(std::string_view printable) {
  size_t columns = 0;
  for_each_character(printable, [&](std::string_view, size_t width) {
    columns += width;
    return true;
  });
  return columns;
}

std::string column(std::string_view text, size_t width) {
  std::string safe;
  size_t columns = 0;
  for_each_character(printable(text), [&](std::string_view character, size_t wide) {
    if (columns + wide > width) return false;
    safe += character;
    columns += wide;
    return true;
  });
  return safe.append(width - columns, ' ');
}

std::string padded(std::string_view text, size_t width) {
  std::string safe = printable(text);
  const size_t columns = columns_of(safe);
  return columns < width ? safe.append(width - columns, ' ') : safe;
}

}  // namespace furnace
