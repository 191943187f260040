#include "facilities/database.h"

#include <unistd.h>

#include <algorithm>

namespace furnace::facilities {
namespace {

Error error_of(sqlite3* database, std::string_view what) {
  const int code = sqlite3_errcode(database);
  const std::string_view hint = code == SQLITE_FULL ? " (make room there; what was stored before is safe)"
                                : code == SQLITE_READONLY
                                    ? " (the disk is read-only; what was stored can be read)"
                                    : "";
  return {code == SQLITE_BUSY ? Errc::Unavailable : Errc::Failed,
          fmt::format("{}: {}{}", what, sqlite3_errmsg(database), hint)};
}

}  // namespace

Query::~Query() {
  if (statement_ == nullptr) return;
  sqlite3_reset(statement_);
  sqlite3_clear_bindings(statement_);
}

// A blob, not text: SQLite would end text at an embedded NUL.
Query& Query::bind(int index, std::string_view blob) {
  sqlite3_bind_blob64(statement_, index, blob.data() != nullptr ? blob.data() : "", blob.size(),
                      SQLITE_STATIC);
  return *this;
}

Query& Query::bind(int index, uint64_t number) {
  sqlite3_bind_int64(statement_, index, static_cast<int64_t>(number));
  return *this;
}

Result<bool> Query::step() {
  const int done = sqlite3_step(statement_);
  if (done == SQLITE_ROW || done == SQLITE_DONE) return done == SQLITE_ROW;
  return tl::unexpected<Error>(error_of(database_, "storage"));
}

Status Query::run() {
  FURNACE_TRY([[maybe_unused]] const bool row, step());
  return {};
}

std::string_view Query::blob(int column) const {
  const auto* data = static_cast<const char*>(sqlite3_column_blob(statement_, column));
  const auto size = static_cast<size_t>(sqlite3_column_bytes(statement_, column));
  return data != nullptr ? std::string_view(data, size) : std::string_view();
}

uint64_t Query::number(int column) const {
  return static_cast<uint64_t>(sqlite3_column_int64(statement_, column));
}

Result<Database> Database::open_writable(const std::filesystem::path& file, std::string_view schema) {
  sqlite3* raw = nullptr;
  const int opened = sqlite3_open_v2(
      file.c_str(), &raw, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX, nullptr);
  Database database{Handle(raw)};
  if (opened != SQLITE_OK) return fail(error_of(raw, "open"), file.string());
  // WAL with full synchronisation: a commit is on disk. Exclusive: one FAC partition counts the quota, and
  // the log's index needs no file of its own. A small cache: values are read once and sent. The transaction
  // takes the lock now, so that a second user is refused here.
  const std::string sql =
      "PRAGMA locking_mode=EXCLUSIVE; PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; PRAGMA "
      "cache_size=-512;"
      "BEGIN IMMEDIATE;" +
      std::string(schema) + "COMMIT;";
  if (sqlite3_exec(raw, sql.c_str(), nullptr, nullptr, nullptr) != SQLITE_OK)
    return fail(error_of(raw, "open"), file.string());
  return database;
}

Result<Database> Database::open_read_only(const std::filesystem::path& file) {
  // A log that was not brought in can't be on a read-only disk, and without it values would be old ones.
  std::error_code error;
  const std::filesystem::path log = file.string() + "-wal";
  if (std::filesystem::exists(log, error) && std::filesystem::file_size(log, error) != 0)
    return fail(Errc::Failed, "{}: the disk is read-only, and {} holds what has to be written to it first",
                file.string(), log.filename().string());
  sqlite3* raw = nullptr;
  // "immutable": no other process can write there either. A path may hold what means something in a URI.
  std::string uri = "file:";
  for (const char c : file.string())
    uri += c == '%' || c == '?' || c == '#' ? fmt::format("%{:02X}", c) : std::string(1, c);
  uri += "?immutable=1";
  const int opened = sqlite3_open_v2(uri.c_str(), &raw,
                                     SQLITE_OPEN_READONLY | SQLITE_OPEN_URI | SQLITE_OPEN_NOMUTEX, nullptr);
  Database database{Handle(raw)};
  if (opened != SQLITE_OK) return fail(error_of(raw, "open"), file.string());
  return database;
}

Result<Database> Database::open(const std::filesystem::path& file, std::string_view schema) {
  auto database = open_writable(file, schema);
  if (database) return database;
  if (database.error().code() == Errc::Unavailable)
    return fail(Errc::Unavailable, "{}: another FAC partition stores there", file.string());
  if (::access(file.c_str(), W_OK) != 0 && errno == EROFS) return open_read_only(file);
  return database;
}

Result<Query> Database::query(const char* sql) {
  auto found = std::find_if(prepared_.begin(), prepared_.end(),
                            [&](const Prepared& known) { return known.sql == sql; });
  if (found == prepared_.end()) {
    sqlite3_stmt* raw = nullptr;
    if (sqlite3_prepare_v3(database_.get(), sql, -1, SQLITE_PREPARE_PERSISTENT, &raw, nullptr) != SQLITE_OK)
      return tl::unexpected<Error>(error_of(database_.get(), "storage"));
    found = prepared_.insert(prepared_.end(), {sql, std::unique_ptr<sqlite3_stmt, Close>(raw)});
  }
  return Query(database_.get(), found->statement.get());
}

}  // namespace furnace::facilities
