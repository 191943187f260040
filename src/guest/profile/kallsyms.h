// The kernel's compressed symbol table, found in its read-only data (Linux: kernel/kallsyms.c,
// scripts/kallsyms.c).
//
// The tables have no symbols of their own, so they are recognised by their form: a token table that holds the
// ten digits as tokens, its index after it, and an array of ascending markers in front of it. Markers have 8
// bytes until 4.20. The order of the others changed in 6.2 (seqs_of_names added) and 6.4 (offsets moved after
// the token index); since 7.0 each offset counts from its own place, and
// tables are aligned to 4 bytes. All of these are understood.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "base/result.h"

namespace furnace::guest {

struct Kallsyms {
  struct Symbol {
    std::string name;
    uint64_t address = 0;  ///< KASLR applied if `relative_base` is; per-CPU symbols until 6.14: their offset
    char type = '?';       ///< as nm prints it
  };
  std::vector<Symbol> symbols;  ///< in ascending order of the kernel's table
  /// The address of the first symbol of the image, _text: at runtime, or where the kernel was linked if the
  /// tables do not tell.
  uint64_t relative_base = 0;
  /// Where in the window the runtime address is; none: not in the tables.
  std::optional<size_t> relative_base_position;
  /// If it is none: where _text is, counted from the window's start.
  int64_t text_position = 0;
  size_t tables_start = 0;  ///< the part of the window that all of this was decoded from
  size_t tables_end = 0;
};

/// What every token table holds: the tokens "0" to "9" one after the other. Search guest memory for it.
[[nodiscard]] std::span<const std::byte> kallsyms_signature();

/// Returns whether a token table with its index is around a signature: a cheap check before the large window
/// is read. kTokenTableBefore and kTokenTableBehind bytes around the signature suffice.
[[nodiscard]] bool has_token_table(std::span<const std::byte> window, size_t signature);
inline constexpr uint64_t kTokenTableBefore = 4 << 10;
inline constexpr uint64_t kTokenTableBehind = 16 << 10;

/// Bytes before and after the signature: those that hold all tables of a distribution's kernel, and of any.
struct KallsymsWindow {
  uint64_t before, behind;
};
inline constexpr std::array kKallsymsWindows = {KallsymsWindow{6 << 20, 4 << 20},
                                                KallsymsWindow{16 << 20, 8 << 20}};

/// Decodes the tables around a signature found at `signature` of `window`. The window must start at a
/// physical address divisible by 8. Everything in it is untrusted.
[[nodiscard]] Result<Kallsyms> parse_kallsyms(std::span<const std::byte> window, size_t signature);

}  // namespace furnace::guest
