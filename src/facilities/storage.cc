#include "facilities/storage.h"

#include <algorithm>
#include <cctype>

#include "base/bytes.h"
#include "protocol/calls.h"

namespace furnace::facilities {
namespace {

constexpr size_t kMaxKey = 16;

// A blob, not text: SQLite would end text at an embedded NUL.
void bind(sqlite3_stmt* statement, int index, std::string_view value) {
  sqlite3_bind_blob64(statement, index, value.data() != nullptr ? value.data() : "", value.size(),
                      SQLITE_STATIC);
}

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

Error Storage::error(std::string_view what) const {
  return {Errc::Failed, fmt::format("storage: {}: {}", what, sqlite3_errmsg(database_.get()))};
}

Result<Storage> Storage::open(const std::filesystem::path& directory, uint64_t quota) {
  std::error_code code;
  std::filesystem::create_directories(directory, code);
  const auto file = directory / "storage.db";
  sqlite3* raw = nullptr;
  const int opened = sqlite3_open_v2(
      file.c_str(), &raw, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX, nullptr);
  Storage storage(std::unique_ptr<sqlite3, Close>(raw), quota);
  if (opened != SQLITE_OK) return fail(storage.error("open"), file.string());
  // WAL with full synchronisation: a commit is on disk. A small cache: values are read once and sent.
  for (const char* sql :
       {"PRAGMA journal_mode=WAL", "PRAGMA synchronous=FULL", "PRAGMA cache_size=-512",
        "CREATE TABLE IF NOT EXISTS storage(key BLOB PRIMARY KEY, value BLOB NOT NULL) WITHOUT ROWID"})
    if (auto done = storage.execute(sql); !done) return fail(done.error(), file.string());
  return storage;
}

Status Storage::execute(const char* sql) {
  if (sqlite3_exec(database_.get(), sql, nullptr, nullptr, nullptr) != SQLITE_OK)
    return tl::unexpected<Error>(error(sql));
  return {};
}

Result<Storage::Statement> Storage::prepare(const char* sql) {
  sqlite3_stmt* raw = nullptr;
  if (sqlite3_prepare_v2(database_.get(), sql, -1, &raw, nullptr) != SQLITE_OK)
    return tl::unexpected<Error>(error(sql));
  return Statement(raw);
}

Result<uint64_t> Storage::used_without(std::string_view key) {
  FURNACE_TRY(const Statement statement,
              prepare("SELECT COALESCE(SUM(LENGTH(value)), 0) FROM storage WHERE key <> ?"));
  bind(statement.get(), 1, key);
  if (sqlite3_step(statement.get()) != SQLITE_ROW) return tl::unexpected<Error>(error("used bytes"));
  return static_cast<uint64_t>(sqlite3_column_int64(statement.get(), 0));
}

Status Storage::set(std::string_view key, std::string_view value) {
  FURNACE_CHECK(check_key(key));
  if (value.size() > protocol::kMaxFieldSize)
    return fail(Errc::Invalid, "value of {} bytes: at most {}", value.size(), protocol::kMaxFieldSize);
  if (valid_utf8(value) != value) return fail(Errc::Invalid, "value of key '{}' is not UTF-8", key);
  FURNACE_TRY(const uint64_t used, used_without(key));
  if (used > quota_ || value.size() > quota_ - used)
    return fail(Errc::Invalid, "value of {} bytes for key '{}' is over the quota: {} of {} bytes are in use",
                value.size(), key, used, quota_);
  FURNACE_TRY(const Statement statement, prepare("INSERT OR REPLACE INTO storage(key, value) VALUES(?, ?)"));
  bind(statement.get(), 1, key);
  bind(statement.get(), 2, value);
  if (sqlite3_step(statement.get()) != SQLITE_DONE)
    return tl::unexpected<Error>(error(fmt::format("set '{}'", key)));
  return {};
}

Result<std::string> Storage::get(std::string_view key) {
  FURNACE_CHECK(check_key(key));
  FURNACE_TRY(const Statement statement, prepare("SELECT value FROM storage WHERE key = ?"));
  bind(statement.get(), 1, key);
  const int step = sqlite3_step(statement.get());
  if (step == SQLITE_DONE) return fail(Errc::NotFound, "no key '{}'", key);
  if (step != SQLITE_ROW) return tl::unexpected<Error>(error(fmt::format("get '{}'", key)));
  const auto* data = static_cast<const char*>(sqlite3_column_blob(statement.get(), 0));
  const auto size = static_cast<size_t>(sqlite3_column_bytes(statement.get(), 0));
  return data != nullptr ? std::string(data, size) : std::string();
}

}  // namespace furnace::facilities
