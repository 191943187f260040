// SQLite as FAC uses it: one file, one user, a commit is on disk when it returns.
#pragma once

#include <sqlite3.h>

#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace furnace::facilities {

/// A prepared statement in use: bound, stepped, and reset when it goes.
class Query {
 public:
  Query(sqlite3* database, sqlite3_stmt* statement) : database_(database), statement_(statement) {}
  Query(Query&& other) noexcept
      : database_(other.database_), statement_(std::exchange(other.statement_, nullptr)) {}
  Query& operator=(Query&&) = delete;
  ~Query();

  /// Parameters are numbered from 1 on. Blobs must live until the query goes.
  Query& bind(int index, std::string_view blob);
  Query& bind(int index, uint64_t number);

  /// True: there is a row; false: none (more).
  [[nodiscard]] Result<bool> step();
  /// For statements without rows.
  [[nodiscard]] Status run();

  /// Columns are numbered from 0 on; text lives until the next step.
  [[nodiscard]] std::string_view blob(int column) const;
  [[nodiscard]] uint64_t number(int column) const;

 private:
  sqlite3* database_;
  sqlite3_stmt* statement_;
};

class Database {
 public:
  /// Opens or makes `file`, and runs `schema` on it. On a read-only disk what is stored can still be read;
  /// `read_only()` is true then. Errc::Unavailable if another process uses it.
  [[nodiscard]] static Result<Database> open(const std::filesystem::path& file, std::string_view schema);

  /// `sql` must be a literal: its statement is prepared once.
  [[nodiscard]] Result<Query> query(const char* sql);
  /// Rows that the last statement changed.
  [[nodiscard]] int changes() const { return sqlite3_changes(database_.get()); }
  [[nodiscard]] bool read_only() const { return sqlite3_db_readonly(database_.get(), "main") == 1; }

 private:
  struct Close {
    void operator()(sqlite3* database) const { sqlite3_close_v2(database); }
    void operator()(sqlite3_stmt* statement) const { sqlite3_finalize(statement); }
  };
  using Handle = std::unique_ptr<sqlite3, Close>;
  struct Prepared {
    const char* sql;
    std::unique_ptr<sqlite3_stmt, Close> statement;
  };

  explicit Database(Handle database) : database_(std::move(database)) {}
  [[nodiscard]] static Result<Database> open_writable(const std::filesystem::path& file,
                                                      std::string_view schema);
  [[nodiscard]] static Result<Database> open_read_only(const std::filesystem::path& file);

  Handle database_;
  std::vector<Prepared> prepared_;  // goes before the database
};

}  // namespace furnace::facilities
