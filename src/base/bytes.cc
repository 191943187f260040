#include "base/bytes.h"

#include <algorithm>
#include <array>
#include <cstdint>

namespace furnace {
namespace {

/// Length of the valid UTF-8 sequence at the start of `text`, 0 if there is none (Unicode 15, table 3-7).
size_t utf8_sequence(std::string_view text) {
  const auto at = [&](size_t i) { return i < text.size() ? static_cast<uint8_t>(text[i]) : 0U; };
  const auto continues = [&](size_t i) { return (at(i) & 0xc0U) == 0x80U; };
  const unsigned lead = at(0);
  if (lead < 0x80) return 1;
  if (lead >= 0xc2 && lead <= 0xdf) return continues(1) ? 2 : 0;
  if (lead >= 0xe0 && lead <= 0xef) {
    if (lead == 0xe0 && at(1) < 0xa0) return 0;
    if (lead == 0xed && at(1) > 0x9f) return 0;
    return continues(1) && continues(2) ? 3 : 0;
  }
  if (lead >= 0xf0 && lead <= 0xf4) {
    if (lead == 0xf0 && at(1) < 0x90) return 0;
    if (lead == 0xf4 && at(1) > 0x8f) return 0;
    return continues(1) && continues(2) && continues(3) ? 4 : 0;
  }
  return 0;
}

}  // namespace

std::string valid_utf8(std::string_view text) {
  std::string result;
  result.reserve(text.size());
  while (!text.empty()) {
    const size_t length = utf8_sequence(text);
    result += length != 0 ? text.substr(0, length) : std::string_view("\xef\xbf\xbd");
    text.remove_prefix(length != 0 ? length : 1);
  }
  return result;
}

namespace {

struct CodePoints {
  char32_t first, last;
};
/// Ascending.
constexpr std::array kActing = {
    CodePoints{0x0, 0x1f},     // C0
    CodePoints{0x7f, 0x9f},    // DEL, C1
    CodePoints{0xad, 0xad},    // soft hyphen
    CodePoints{0x34f, 0x34f},  // combining grapheme joiner
    CodePoints{0x600, 0x605},  // Arabic signs that enclose numbers
    CodePoints{0x61c, 0x61c},  // Arabic letter mark
    CodePoints{0x6dd, 0x6dd},     CodePoints{0x70f, 0x70f},
    CodePoints{0x890, 0x891},     CodePoints{0x8e2, 0x8e2},
    CodePoints{0x115f, 0x1160},                                // Hangul fillers
    CodePoints{0x17b4, 0x17b5},   CodePoints{0x180b, 0x180f},  // Mongolian selectors and separator
    CodePoints{0x200b, 0x200f},  // without width; left-to-right and right-to-left marks
    CodePoints{0x2028, 0x202e},  // separators of lines and paragraphs; embeddings and overrides
    CodePoints{0x2060, 0x206f},  // joiner, isolates
    CodePoints{0x3164, 0x3164},  // Hangul filler
    CodePoints{0xfe00, 0xfe0f},  // variation selectors
    CodePoints{0xfeff, 0xfeff},  // byte order mark
    CodePoints{0xffa0, 0xffa0},  // Hangul filler
    CodePoints{0xfff0, 0xfffb},  // annotations
    CodePoints{0x110bd, 0x110bd}, CodePoints{0x110cd, 0x110cd},
    CodePoints{0x13430, 0x1343f},  // of hieroglyphs
    CodePoints{0x1bca0, 0x1bca3},  // of shorthand
    CodePoints{0x1d173, 0x1d17a},  // of music
    CodePoints{0xe0000, 0xe0fff},  // tags, more variation selectors
};

/// Of a valid sequence.
char32_t code_point(std::string_view sequence) {
  const auto lead = static_cast<uint8_t>(sequence[0]);
  if (sequence.size() == 1) return lead;
  char32_t value = lead & (0x7fU >> sequence.size());
  for (const char c : sequence.substr(1)) value = value << 6 | (static_cast<uint8_t>(c) & 0x3fU);
  return value;
}

bool acts(char32_t character) {
  const auto range = std::lower_bound(kActing.begin(), kActing.end(), character,
                                      [](const CodePoints& each, char32_t c) { return each.last < c; });
  return range != kActing.end() && character >= range->first;
}

std::string made_safe(std::string_view text, std::string_view kept) {
  std::string result;
  result.reserve(text.size());
  while (!text.empty()) {
    const size_t length = utf8_sequence(text);
    const std::string_view sequence = text.substr(0, std::max<size_t>(length, 1));
    text.remove_prefix(sequence.size());
    if (length == 0)
      result += "\xef\xbf\xbd";
    else if (kept.find(sequence) == std::string_view::npos && acts(code_point(sequence)))
      result += '?';
    else
      result += sequence;
  }
  return result;
}

}  // namespace

std::string printable(std::string_view text) {
  return made_safe(text, "");
}

std::string printable_lines(std::string_view text) {
  return made_safe(text, "\n\t");
}

size_t whole_characters(std::string_view text) {
  constexpr size_t longest = 4;
  for (size_t back = 1; back < longest && back <= text.size(); ++back) {
    const auto lead = static_cast<uint8_t>(text[text.size() - back]);
    if ((lead & 0xc0U) == 0x80U) continue;
    const size_t needs = lead >= 0xf0 ? 4 : lead >= 0xe0 ? 3 : lead >= 0xc0 ? 2 : 1;
    return needs > back ? text.size() - back : text.size();
  }
  return text.size();
}

namespace {
constexpr std::string_view kBase64 = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
}

std::string to_base64(std::span<const std::byte> bytes) {
  std::string text;
  for (size_t i = 0; i < bytes.size(); i += 3) {
    uint32_t group = 0;
    for (size_t j = 0; j < 3; ++j)
      group = group << 8 | (i + j < bytes.size() ? std::to_integer<uint32_t>(bytes[i + j]) : 0);
    for (size_t j = 0; j < 4; ++j)
      text += i + j <= bytes.size() ? kBase64[group >> (18 - 6 * j) & 0x3f] : '=';
  }
  return text;
}

std::string from_base64(std::string_view text) {
  std::string bytes;
  uint32_t bits = 0;
  int count = 0;
  for (const char c : text) {
    const size_t digit = kBase64.find(c);
    if (digit == std::string_view::npos) break;
    bits = bits << 6 | static_cast<uint32_t>(digit);
    count += 6;
    if (count < 8) continue;
    count -= 8;
    bytes += static_cast<char>(bits >> count & 0xff);
  }
  return bytes;
}

}  // namespace furnace
