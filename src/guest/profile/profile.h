// What is known of one kernel build: its symbols and types. No address in it depends on where the kernel
// runs.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/fd.h"
#include "base/result.h"
#include "guest/profile/btf.h"

namespace furnace::guest {

/// A symbol as the profile keeps it.
struct SymbolValue {
  uint64_t value = 0;
  bool relative =
      false;        ///< `value` counts from the kernel's first byte, _text; else it is absolute (per-CPU)
  char type = '?';  ///< as nm prints it; '?': not known
};

/// Immutable; made by ProfileBuilder or read from a cache file, whose form it has in memory too (so a cached
/// profile is mapped, not parsed):
///   header | banner | symbols sorted by name | the symbols' names | kallsyms tables | BTF blob
/// The tables are the bytes that the symbols were decoded from. A cached profile is used for a guest only if
/// the guest holds the same bytes: a guest with a forged kernel can't lend its profile to another one.
class Profile {
 public:
  struct Header {
    char magic[8];
    uint32_t symbol_count;
    uint32_t names_size;
    uint32_t banner_size;
    uint32_t btf_size;
    uint32_t tables_size;
    uint32_t reserved;
    uint64_t banner_offset;  ///< offsets in the image, from _text on
    uint64_t tables_offset;
    uint64_t relative_base_offset;  ///< the kernel's pointer to its own start, which KASLR changes
  };
  struct Entry {
    uint32_t name;     ///< offset in the names
    uint8_t relative;  ///< 0 or 1
    char type;
    uint16_t reserved;
    uint64_t value;
  };

  /// Whether bytes begin as one of this version.
  [[nodiscard]] static bool is_image(std::span<const std::byte> bytes);
  /// Checks `image` and builds the index of types.
  [[nodiscard]] static Result<std::shared_ptr<const Profile>> from_image(std::vector<std::byte> image);
  [[nodiscard]] static Result<std::shared_ptr<const Profile>> from_file(const std::filesystem::path& path);
  [[nodiscard]] static Result<std::shared_ptr<const Profile>> from_descriptor(const Fd& file);

  [[nodiscard]] std::optional<SymbolValue> symbol(std::string_view name) const;
  [[nodiscard]] size_t symbol_count() const { return header_.symbol_count; }
  /// The `index`-th symbol in the order of their names.
  [[nodiscard]] std::pair<std::string_view, SymbolValue> symbol_at(size_t index) const;
  [[nodiscard]] const Btf& types() const { return types_; }
  /// The kernel's own description of its build: "Linux version 6.1.0-... #1 SMP ...".
  [[nodiscard]] std::string_view banner() const { return banner_; }
  [[nodiscard]] const Header& header() const { return header_; }
  [[nodiscard]] std::span<const std::byte> tables() const { return tables_; }
  [[nodiscard]] std::span<const std::byte> btf() const { return btf_; }
  /// The form that is written to a cache file.
  [[nodiscard]] std::span<const std::byte> image() const { return image_; }

 private:
  Status open(std::span<const std::byte> image);
  [[nodiscard]] Entry entry(size_t index) const;
  [[nodiscard]] std::string_view name(const Entry& entry) const;

  std::vector<std::byte> owned_;
  Mapping mapped_;
  std::span<const std::byte> image_;
  Header header_{};
  std::span<const std::byte> entries_;
  std::string_view names_;
  std::string_view banner_;
  std::span<const std::byte> tables_;
  std::span<const std::byte> btf_;
  Btf types_;
};

/// What the start of a profile file says: enough to check whether a guest runs this kernel.
struct ProfileSummary {
  std::string banner;
  uint64_t banner_offset = 0;  ///< from _text on
};
/// Reads the header and the banner at the start of a profile.
[[nodiscard]] std::optional<ProfileSummary> summarize(std::span<const std::byte> start);
inline constexpr size_t kSummarySize = 1024;  ///< bytes of a file that hold both

/// Collects the parts of a profile.
class ProfileBuilder {
 public:
  void reserve(size_t symbols) { symbols_.reserve(symbols); }
  void add_symbol(std::string name, SymbolValue value);
  /// A symbol by its address in a kernel that begins at `text`: relative if it is after it.
  void add_symbol(std::string name, uint64_t address, uint64_t text, char type);
  void set_banner(std::string_view banner) { banner_ = banner; }
  void set_types(std::vector<std::byte> btf) { btf_ = std::move(btf); }
  /// Where things lie in the image, from _text on, and the tables the symbols came from.
  void set_layout(uint64_t tables_offset, std::vector<std::byte> tables, uint64_t relative_base_offset);

  /// Takes what was collected along: the profile is built in the memory of a partition.
  [[nodiscard]] Result<std::shared_ptr<const Profile>> build() &&;

 private:
  struct Named {
    std::string name;
    SymbolValue value;
  };
  std::vector<Named> symbols_;
  std::string banner_;
  std::vector<std::byte> btf_;
  std::vector<std::byte> tables_;
  uint64_t tables_offset_ = 0;
  uint64_t relative_base_offset_ = 0;
};

}  // namespace furnace::guest
