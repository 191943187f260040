#include "guest/profile/kallsyms.h"

#include <algorithm>
#include <array>
#include <optional>
#include <string_view>

#include "base/bytes.h"

namespace furnace::guest {
namespace {

constexpr size_t kTokens = 256;
constexpr size_t kFirstDigit = '0';
constexpr size_t kSymbolsPerMarker = 256;
constexpr size_t kMaxName = 512;    // KSYM_NAME_LEN
constexpr size_t kMinMarkers = 16;  // no kernel with BTF has fewer than 4,096 symbols
constexpr size_t kMaxSymbols = 4 << 20;
constexpr uint64_t kLinkedText = 0xffffffff81000000;  // __START_KERNEL, arch/x86/include/asm/page_types.h
constexpr int64_t kLargestImage = 1 << 30;            // KERNEL_IMAGE_SIZE
constexpr std::string_view kDigits{"0\0001\0002\0003\0004\0005\0006\0007\0008\0009\0", 20};

/// Of each table: 8 bytes while there was a number of 8 bytes among them.
constexpr std::array<size_t, 2> kAlignments = {8, 4};

/// Decoder over one window; positions are offsets in it.
class Decoder {
 public:
  Decoder(std::span<const std::byte> window, size_t alignment)
      : window_(window), text_(as_text(window)), alignment_(alignment) {}

  Result<Kallsyms> decode(size_t signature) {
    FURNACE_CHECK(find_tokens(signature));
    for (size_t before = token_table_;;) {
      const auto markers = find_markers(before);
      if (!markers) return fail(Errc::Invalid, "kallsyms: no marker table in front of the token table");
      if (const auto names = find_names(*markers)) return symbols(*names);
      before = markers->position;  // looked like markers, led to nothing: search on in front of it
    }
  }

  /// Sets token_table_, token_index_ and the tokens' texts.
  Status find_tokens(size_t signature) {
    size_t end = signature;
    for (size_t token = kFirstDigit; token < kTokens; ++token) {
      const size_t nul = text_.find('\0', end);
      if (nul == std::string_view::npos || nul - end > kMaxName)
        return fail(Errc::Invalid, "kallsyms: the token table does not end");
      end = nul + 1;
    }
    token_index_ = align(end);
    const auto digits = at<uint16_t>(token_index_ + 2 * kFirstDigit);
    if (!digits || *digits > signature)
      return fail(Errc::Invalid, "kallsyms: no token index after the token table");
    token_table_ = signature - *digits;
    size_t position = token_table_;
    for (size_t token = 0; token < kTokens; ++token) {
      const auto offset = at<uint16_t>(token_index_ + 2 * token);
      const size_t nul = text_.find('\0', position);
      if (!offset || token_table_ + *offset != position || nul == std::string_view::npos)
        return fail(Errc::Invalid, "kallsyms: token {} is not where the token index says", token);
      tokens_.at(token) = text_.substr(position, nul - position);
      position = nul + 1;
    }
    return {};
  }

 private:
  struct Markers {
    size_t position = 0, count = 0, width = sizeof(uint32_t);
  };
  struct Names {
    size_t position = 0, count = 0;
  };

  [[nodiscard]] size_t align(size_t position) const { return (position + alignment_ - 1) & ~(alignment_ - 1); }
  [[nodiscard]] size_t align_down(size_t position) const { return position & ~(alignment_ - 1); }
  template <typename T>
  [[nodiscard]] std::optional<T> at(size_t position) const {
    return load<T>(window_, position);
  }

  [[nodiscard]] uint64_t marker(const Markers& markers, size_t index) const {
    const size_t position = markers.position + markers.width * index;
    return markers.width == sizeof(uint32_t) ? at<uint32_t>(position).value_or(0)
                                             : at<uint64_t>(position).value_or(0);
  }

  /// How many numbers from `markers.position` on, up to `before`, grow as markers do.
  [[nodiscard]] size_t count_markers(const Markers& markers, size_t before) const {
    size_t count = 1;
    for (uint64_t last = 0; markers.position + markers.width * (count + 1) <= before; ++count) {
      const uint64_t next = marker(markers, count);
      // 256 names of 2 to kMaxName bytes each, length bytes counted in.
      if (next < last + 2 * kSymbolsPerMarker || next - last > kSymbolsPerMarker * (kMaxName + 2)) break;
      last = next;
    }
    return count;
  }

  /// The nearest array in front of `before` that starts with 0 and grows as markers do.
  [[nodiscard]] std::optional<Markers> find_markers(size_t before) const {
    for (size_t position = align_down(before); position >= alignment_;) {
      position -= alignment_;
      if (*at<uint32_t>(position) != 0) continue;
      for (const size_t width : {sizeof(uint32_t), sizeof(uint64_t)}) {
        Markers found{position, 1, width};
        found.count = count_markers(found, before);
        if (found.count >= kMinMarkers) return found;
      }
    }
    return std::nullopt;
  }

  /// The name table in front of its markers: preceded by the number of symbols, and every marker is right.
  [[nodiscard]] std::optional<Names> find_names(const Markers& markers) const {
    const size_t last_marker = marker(markers, markers.count - 1);
    const size_t longest = last_marker + kSymbolsPerMarker * (kMaxName + 2) + 8;
    const size_t lowest = markers.position > longest ? markers.position - longest : 0;
    for (size_t position = markers.position - std::min(markers.position, last_marker);
         position >= lowest + 2 * alignment_; position -= alignment_) {
      position = align_down(position);
      const size_t count = *at<uint32_t>(position - alignment_);
      const bool fits =
          count > (markers.count - 1) * kSymbolsPerMarker && count <= markers.count * kSymbolsPerMarker;
      if (fits && names_agree({position, count}, markers)) return Names{position, count};
    }
    return std::nullopt;
  }

  /// The compressed name at `position` (its tokens), which then moves past it.
  [[nodiscard]] std::optional<std::span<const std::byte>> name(size_t& position) const {
    const auto low = at<uint8_t>(position++);
    if (!low) return std::nullopt;
    size_t length = *low;
    if ((length & 0x80) != 0) {  // since 6.1 a second byte holds the upper bits of long lengths
      const auto high = at<uint8_t>(position++);
      if (!high) return std::nullopt;
      length = (length & 0x7f) | size_t{*high} << 7;
    }
    if (length == 0 || length > kMaxName || window_.size() - position < length) return std::nullopt;
    position += length;
    return window_.subspan(position - length, length);
  }

  [[nodiscard]] bool names_agree(const Names& names, const Markers& markers) const {
    size_t position = names.position;
    for (size_t i = 0; i < names.count; ++i) {
      if (i % kSymbolsPerMarker == 0 &&
          position - names.position != marker(markers, i / kSymbolsPerMarker))
        return false;
      if (!name(position)) return false;
    }
    return align(position) == markers.position;
  }

  /// Where offsets and base are: in front of the names until 6.3, after the token index since 6.4. Offsets
  /// that count from their own places (since 7.0) have no base.
  struct Offsets {
    size_t position;
    std::optional<size_t> base_position;
    uint64_t base;
  };
  /// Symbols are sorted by address, which no other array of numbers looks like when each is taken from its
  /// place.
  [[nodiscard]] bool count_from_their_places(size_t position, size_t count) const {
    int64_t last = -kLargestImage;
    for (size_t i = 0; i < count; ++i) {
      const auto offset = at<int32_t>(position + 4 * i);
      if (!offset) return false;
      const int64_t target = static_cast<int64_t>(4 * i) + *offset;
      if (target < last || target > kLargestImage) return false;
      last = target;
    }
    return true;
  }
  [[nodiscard]] std::optional<Offsets> find_offsets(const Names& names) const {
    const size_t size = align(4 * names.count);
    const auto check = [&](size_t position, size_t base_position) -> std::optional<Offsets> {
      const auto base = at<uint64_t>(base_position);
      // Link or KASLR address in the 1 GiB that the kernel image may lie in
      // (Documentation/x86/x86_64/mm.rst).
      if (!base || *base < 0xffffffff80000000 || *base >= 0xffffffffc0000000 || *base % kPageBytes != 0)
        return std::nullopt;
      return Offsets{position, base_position, *base};
    };
    const size_t behind = align(token_index_ + 2 * kTokens);
    if (behind + size + 8 <= window_.size())
      if (const auto found = check(behind, behind + size)) return found;
    if (count_from_their_places(behind, names.count)) return Offsets{behind, std::nullopt, kLinkedText};
    if (names.position >= 16 + size) return check(names.position - 16 - size, names.position - 16);
    return std::nullopt;
  }

  Result<Kallsyms> symbols(const Names& names) const {
    if (names.count > kMaxSymbols) return fail(Errc::Invalid, "kallsyms: {} symbols", names.count);
    const auto offsets = find_offsets(names);
    if (!offsets)
      return fail(Errc::Invalid, "kallsyms: no symbol offsets next to the names (an unknown table layout)");
    Kallsyms result;
    result.relative_base = offsets->base;
    result.relative_base_position = offsets->base_position;
    result.tables_start = std::min(offsets->position, names.position - alignment_);
    const size_t offsets_end = offsets->position + align(4 * names.count) + (offsets->base_position ? 8 : 0);
    result.tables_end = std::min(std::max(offsets_end, token_index_ + 2 * kTokens), window_.size());
    FURNACE_CHECK(read_symbols(names, *offsets, result));
    if (!offsets->base_position) FURNACE_CHECK(move_to_text(result));
    return result;
  }

  Status read_symbols(const Names& names, const Offsets& offsets, Kallsyms& result) const {
    // With CONFIG_KALLSYMS_ABSOLUTE_PERCPU (x86 until 6.14) offsets from the base are stored negative and
    // minus one, and those that are not negative are absolute.
    size_t negative = 0;
    for (size_t i = 0; i < names.count; ++i) negative += *at<int32_t>(offsets.position + 4 * i) < 0 ? 1 : 0;
    const bool absolute_percpu = offsets.base_position && negative > names.count / 2;
    const auto address_of = [&](size_t i) -> uint64_t {
      const size_t place = offsets.position + 4 * i;
      const auto offset = *at<int32_t>(place);
      if (!offsets.base_position) return place + static_cast<uint64_t>(int64_t{offset});
      if (!absolute_percpu) return offsets.base + static_cast<uint32_t>(offset);
      return offset < 0 ? offsets.base - 1 - static_cast<int64_t>(offset) : static_cast<uint64_t>(offset);
    };
    result.symbols.reserve(names.count);
    size_t position = names.position;
    for (size_t i = 0; i < names.count; ++i) {
      const auto compressed = name(position);
      if (!compressed) return fail(Errc::Invalid, "kallsyms: symbol {} has no name", i);
      std::string expanded;
      for (const std::byte token : *compressed) expanded += tokens_.at(std::to_integer<size_t>(token));
      if (expanded.size() < 2 || expanded.size() > kMaxName)
        return fail(Errc::Invalid, "kallsyms: symbol {} has a name of {} characters", i, expanded.size());
      const char type = expanded.front();
      expanded.erase(0, 1);
      result.symbols.push_back({std::move(expanded), address_of(i), type});
    }
    return {};
  }

  /// Symbols that count from the window's start become those of an image at its link address.
  static Status move_to_text(Kallsyms& result) {
    const auto text = std::find_if(result.symbols.begin(), result.symbols.end(),
                                   [](const auto& symbol) { return symbol.name == "_text"; });
    if (text == result.symbols.end()) return fail(Errc::Invalid, "kallsyms: no symbol _text");
    result.text_position = static_cast<int64_t>(text->address);
    const uint64_t shift = kLinkedText - text->address;
    for (auto& symbol : result.symbols) symbol.address += shift;
    return {};
  }

  static constexpr size_t kPageBytes = 4096;
  std::span<const std::byte> window_;
  std::string_view text_;
  size_t alignment_;
  size_t token_table_ = 0, token_index_ = 0;
  std::array<std::string_view, kTokens> tokens_{};
};

}  // namespace

std::span<const std::byte> kallsyms_signature() {
  return as_bytes(kDigits);
}

bool has_token_table(std::span<const std::byte> window, size_t signature) {
  return signature <= window.size() &&
         std::any_of(kAlignments.begin(), kAlignments.end(), [&](size_t alignment) {
           return Decoder(window, alignment).find_tokens(signature).has_value();
         });
}

Result<Kallsyms> parse_kallsyms(std::span<const std::byte> window, size_t signature) {
  if (signature > window.size() || window.size() - signature < kDigits.size())
    return fail(Errc::Invalid, "kallsyms: the signature is outside the window");
  Error reason(Errc::Invalid, "kallsyms: no tables");
  for (const size_t alignment : kAlignments) {
    auto decoded = Decoder(window, alignment).decode(signature);
    if (decoded) return decoded;
    // The one that came furthest says why.
    if (alignment == kAlignments.front() || Decoder(window, alignment).find_tokens(signature))
      reason = decoded.error();
  }
  return tl::unexpected<Error>(std::move(reason));
}

}  // namespace furnace::guest
