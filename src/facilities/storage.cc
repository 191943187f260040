#include "facilities/storage.h"

#include <algorithm>
#include <cctype>

#include "base/bytes.h"
#include "base/log.h"
#include "base/printable.h"
#include "protocol/calls.h"

namespace furnace::facilities {
namespace {

constexpr size_t kMaxKey = 16;

}  // namespace

Status check_key(std::string_view key) {
  const bool good =
      !key.empty() && key.size() <= kMaxKey && std::all_of(key.begin(), key.end(), [](unsigned char c) {
        return c < 0x80 && (std::isalnum(c) != 0 || c == '_' || c == '-');
      });
  if (!good)
    return fail(Errc::Invalid, "key '{}': expected 1 to {} of A-Z a-z 0-9 _ -", printable(key.substr(0, 40)),
                kMaxKey);
  return {};
}

Result<Storage> Storage::open(const std::filesystem::path& directory, uint64_t quota) {
  std::error_code code;
  std::filesystem::create_directories(directory, code);
  FURNACE_TRY(
      Database database,
      Database::open(
          directory / "storage.db",
          "CREATE TABLE IF NOT EXISTS storage(key BLOB PRIMARY KEY, value BLOB NOT NULL) WITHOUT ROWID;"));
  Storage storage(std::move(database), quota);
  FURNACE_TRY(Query counts,
              storage.database_.query("SELECT COALESCE(SUM(LENGTH(value)), 0), COUNT(*) FROM storage"));
  FURNACE_TRY([[maybe_unused]] const bool row, counts.step());
  storage.used_ = counts.number(0);
  storage.keys_ = counts.number(1);
  return storage;
}

Result<std::optional<uint64_t>> Storage::size_of(std::string_view key) {
  FURNACE_TRY(Query query, database_.query("SELECT LENGTH(value) FROM storage WHERE key = ?"));
  FURNACE_TRY(const bool found, query.bind(1, key).step());
  if (!found) return std::nullopt;
  return query.number(0);
}

Status Storage::set(std::string_view key, std::string_view value) {
  FURNACE_CHECK(check_key(key));
  if (value.size() > protocol::kMaxFieldSize)
    return fail(Errc::Invalid, "value of {} bytes: at most {}", value.size(), protocol::kMaxFieldSize);
  if (valid_utf8(value) != value) return fail(Errc::Invalid, "value of key '{}' is not UTF-8", key);
  FURNACE_TRY(const std::optional<uint64_t> old, size_of(key));
  const uint64_t others = used_ - old.value_or(0);
  if (others > quota_ || value.size() > quota_ - others)
    return fail(Errc::Busy, "value of {} bytes for key '{}' is over the quota: {} of {} bytes are in use",
                value.size(), key, others, quota_);
  if (!old && keys_ >= kMaxKeys) return fail(Errc::Busy, "key '{}': there are {} keys already", key, keys_);
  FURNACE_TRY(Query query, database_.query("INSERT OR REPLACE INTO storage(key, value) VALUES(?, ?)"));
  if (auto stored = query.bind(1, key).bind(2, value).run(); !stored)
    return fail(stored.error(), fmt::format("key '{}'", key));
  used_ = others + value.size();
  if (!old) ++keys_;
  return {};
}

Result<std::string> Storage::get(std::string_view key) {
  FURNACE_CHECK(check_key(key));
  FURNACE_TRY(Query query, database_.query("SELECT value FROM storage WHERE key = ?"));
  FURNACE_TRY(const bool found, query.bind(1, key).step());
  if (!found) return fail(Errc::NotFound, "no key '{}'", key);
  return std::string(query.blob(0));
}

Status Storage::remove(std::string_view key) {
  FURNACE_CHECK(check_key(key));
  FURNACE_TRY(const std::optional<uint64_t> old, size_of(key));
  if (!old) return fail(Errc::NotFound, "no key '{}'", key);
  FURNACE_TRY(Query query, database_.query("DELETE FROM storage WHERE key = ?"));
  if (auto removed = query.bind(1, key).run(); !removed)
    return fail(removed.error(), fmt::format("key '{}'", key));
  used_ -= *old;
  --keys_;
  return {};
}

Result<std::vector<Storage::Entry>> Storage::list() {
  FURNACE_TRY(Query query, database_.query("SELECT key, LENGTH(value) FROM storage ORDER BY key"));
  std::vector<Entry> entries;
  while (true) {
    FURNACE_TRY(const bool row, query.step());
    if (!row) return entries;
    entries.push_back({std::string(query.blob(0)), query.number(1)});
  }
}

}  // namespace furnace::facilities
