// An app's small persistent storage: text by key, within a quota, on disk when acknowledged.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "facilities/database.h"

namespace furnace::facilities {

class Storage {
 public:
  /// Most keys an app may have: an empty value takes nothing of the quota, but room on the disk.
  static constexpr uint64_t kMaxKeys = 100'000;

  /// Opens or makes the database in `directory`. `quota`: bytes of all values together.
  [[nodiscard]] static Result<Storage> open(const std::filesystem::path& directory, uint64_t quota);

  /// Stores `value`, replacing the old one, whose bytes are free before the new ones are counted. A bad key,
  /// text that is not UTF-8, or a value past the quota: nothing is changed. Returns when the value would
  /// survive a power loss.
  [[nodiscard]] Status set(std::string_view key, std::string_view value);

  /// Errc::NotFound for a key that was never set, or was removed.
  [[nodiscard]] Result<std::string> get(std::string_view key);

  /// Errc::NotFound if there is no such key.
  [[nodiscard]] Status remove(std::string_view key);

  struct Entry {
    std::string key;
    uint64_t size;  ///< bytes of its value
  };
  /// All keys in their order.
  [[nodiscard]] Result<std::vector<Entry>> list();

  /// Bytes of all values, and how many there may be.
  [[nodiscard]] uint64_t used() const { return used_; }
  [[nodiscard]] uint64_t quota() const { return quota_; }
  [[nodiscard]] bool read_only() const { return database_.read_only(); }

 private:
  Storage(Database database, uint64_t quota) : database_(std::move(database)), quota_(quota) {}
  /// Bytes of the value of `key`; 0 if there is none.
  [[nodiscard]] Result<std::optional<uint64_t>> size_of(std::string_view key);

  Database database_;
  uint64_t quota_;
  uint64_t used_ = 0, keys_ = 0;
};

/// Keys are 1 to 16 characters of A-Z a-z 0-9 _ - (wire.md section 2).
[[nodiscard]] Status check_key(std::string_view key);

}  // namespace furnace::facilities
