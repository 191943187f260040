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
constexpr std::string_view kDigits{"0\0001\0002\0003\0004\0005\0006\0007\0008\0009\0", 20};

constexpr size_t align8(size_t offset) {
  return (offset + 7) & ~size_t{7};
}

/// Decoder over one window; positions are offsets in it.
class Decoder {
 public:
  explicit Decoder(std::span<const std::byte> window) : window_(window), text_(as_text(window)) {}

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
    token_index_ = align8(end);
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
    size_t position = 0, count = 0;
  };
  struct Names {
    size_t position = 0, count = 0;
  };

  template <typename T>
  [[nodiscard]] std::optional<T> at(size_t position) const {
    return load<T>(window_, position);
  }

  /// The nearest array in front of `before` that starts with 0 and grows as markers do.
  [[nodiscard]] std::optional<Markers> find_markers(size_t before) const {
    for (size_t position = before & ~size_t{7}; position >= 8;) {
      position -= 8;
      if (*at<uint32_t>(position) != 0) continue;
      size_t count = 1;
      for (uint32_t last = 0; position + 4 * count + 4 <= before; ++count) {
        const uint32_t next = *at<uint32_t>(position + 4 * count);
        // 256 names of 2 to kMaxName bytes each, length bytes counted in.
        if (next < last + 2 * kSymbolsPerMarker || next - last > kSymbolsPerMarker * (kMaxName + 2)) break;
        last = next;
      }
      if (count >= kMinMarkers) return Markers{position, count};
    }
    return std::nullopt;
  }

  /// The name table in front of its markers: preceded by the number of symbols, and every marker is right.
  [[nodiscard]] std::optional<Names> find_names(const Markers& markers) const {
    const size_t last_marker = *at<uint32_t>(markers.position + 4 * (markers.count - 1));
    const size_t longest = last_marker + kSymbolsPerMarker * (kMaxName + 2) + 8;
    const size_t lowest = markers.position > longest ? markers.position - longest : 0;
    for (size_t position = markers.position - std::min(markers.position, last_marker);
         position >= lowest + 16; position -= 8) {
      position &= ~size_t{7};
      const size_t count = *at<uint32_t>(position - 8);
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
          position - names.position != *at<uint32_t>(markers.position + 4 * (i / kSymbolsPerMarker)))
        return false;
      if (!name(position)) return false;
    }
    return align8(position) == markers.position;
  }

  /// Where offsets and base are: in front of the names until 6.3, after the token index since 6.4.
  struct Offsets {
    size_t position, base_position;
    uint64_t base;
  };
  [[nodiscard]] std::optional<Offsets> find_offsets(const Names& names) const {
    const size_t size = align8(4 * names.count);
    const auto check = [&](size_t position, size_t base_position) -> std::optional<Offsets> {
      const auto base = at<uint64_t>(base_position);
      // Link or KASLR address in the 1 GiB that the kernel image may lie in
      // (Documentation/x86/x86_64/mm.rst).
      if (!base || *base < 0xffffffff80000000 || *base >= 0xffffffffc0000000 || *base % kPageBytes != 0)
        return std::nullopt;
      return Offsets{position, base_position, *base};
    };
    const size_t behind = align8(token_index_ + 2 * kTokens);
    if (behind + size + 8 <= window_.size())
      if (const auto found = check(behind, behind + size)) return found;
    if (names.position >= 16 + size) return check(names.position - 16 - size, names.position - 16);
    return std::nullopt;
  }

  Result<Kallsyms> symbols(const Names& names) const {
    if (names.count > kMaxSymbols) return fail(Errc::Invalid, "kallsyms: {} symbols", names.count);
    const auto offsets = find_offsets(names);
    if (!offsets)
      return fail(Errc::Invalid, "kallsyms: no symbol offsets next to the names (an unknown table layout)");
    // With CONFIG_KALLSYMS_ABSOLUTE_PERCPU (x86 until 6.14) offsets from the base are stored negative and
    // minus one, and those that are not negative are absolute.
    size_t negative = 0;
    for (size_t i = 0; i < names.count; ++i) negative += *at<int32_t>(offsets->position + 4 * i) < 0 ? 1 : 0;
    const bool absolute_percpu = negative > names.count / 2;

    Kallsyms result;
    result.relative_base = offsets->base;
    result.relative_base_position = offsets->base_position;
    result.tables_start = std::min(offsets->position, names.position - 8);
    result.tables_end = std::max(offsets->base_position + 8, token_index_ + 2 * kTokens);
    result.symbols.reserve(names.count);
    size_t position = names.position;
    for (size_t i = 0; i < names.count; ++i) {
      const auto compressed = name(position);
      if (!compressed) return fail(Errc::Invalid, "kallsyms: symbol {} has no name", i);
      std::string expanded;
      for (const std::byte token : *compressed) expanded += tokens_.at(std::to_integer<size_t>(token));
      if (expanded.size() < 2 || expanded.size() > kMaxName)
        return fail(Errc::Invalid, "kallsyms: symbol {} has a name of {} characters", i, expanded.size());
      const auto offset = *at<int32_t>(offsets->position + 4 * i);
      const uint64_t address = !absolute_percpu ? offsets->base + static_cast<uint32_t>(offset)
                               : offset < 0     ? offsets->base - 1 - static_cast<int64_t>(offset)
                                                : static_cast<uint64_t>(offset);
      const char type = expanded.front();
      expanded.erase(0, 1);
      result.symbols.push_back({std::move(expanded), address, type});
    }
    return result;
  }

  static constexpr size_t kPageBytes = 4096;
  std::span<const std::byte> window_;
  std::string_view text_;
  size_t token_table_ = 0, token_index_ = 0;
  std::array<std::string_view, kTokens> tokens_{};
};

}  // namespace

std::span<const std::byte> kallsyms_signature() {
  return as_bytes(kDigits);
}

bool has_token_table(std::span<const std::byte> window, size_t signature) {
  return signature <= window.size() && Decoder(window).find_tokens(signature).has_value();
}

Result<Kallsyms> parse_kallsyms(std::span<const std::byte> window, size_t signature) {
  if (signature > window.size() || window.size() - signature < kDigits.size())
    return fail(Errc::Invalid, "kallsyms: the signature is outside the window");
  return Decoder(window).decode(signature);
}

}  // namespace furnace::guest
