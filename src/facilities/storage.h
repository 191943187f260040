// An app's small persistent storage: text by key, within a quota, on disk when acknowledged.
#pragma once

#include <sqlite3.h>

#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <string_view>

#include "base/result.h"

namespace furnace::facilities {

class Storage {
 public:
  /// Opens or makes the database in `directory`. `quota`: bytes of all values together.
  [[nodiscard]] static Result<Storage> open(const std::filesystem::path& directory, uint64_t quota);

  /// Stores `value`, replacing the old one. A bad key, text that is not UTF-8, or a value past the quota:
  /// nothing is changed. Returns when the value would survive a power loss.
  [[nodiscard]] Status set(std::string_view key, std::string_view value);

  /// Errc::NotFound for a key that was never set.
  [[nodiscard]] Result<std::string> get(std::string_view key);

 private:
  struct Close {
    void operator()(sqlite3* database) const { sqlite3_close_v2(database); }
    void operator()(sqlite3_stmt* statement) const { sqlite3_finalize(statement); }
  };
  using Statement = std::unique_ptr<sqlite3_stmt, Close>;

  Storage(std::unique_ptr<sqlite3, Close> database, uint64_t quota)
      : database_(std::move(database)), quota_(quota) {}
  [[nodiscard]] Result<Statement> prepare(const char* sql);
  [[nodiscard]] Status execute(const char* sql);
  [[nodiscard]] Error error(std::string_view what) const;
  /// Bytes of all values but that of `key`.
  [[nodiscard]] Result<uint64_t> used_without(std::string_view key);

  std::unique_ptr<sqlite3, Close> database_;
  uint64_t quota_;
};

/// Keys are 1 to 16 characters of A-Z a-z 0-9 _ - (wire.md section 2).
[[nodiscard]] Status check_key(std::string_view key);

}  // namespace furnace::facilities
