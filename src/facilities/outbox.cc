#include "facilities/outbox.h"

#include "protocol/sequence.h"

namespace furnace::facilities {
namespace {

/// What a message takes beside its content, so that empty ones are not free.
constexpr uint64_t kOverhead = 64;

// One row of `state`: what must be known when no message waits. Both tables change in one transaction: a
// trigger writes the state of what is inserted, so that an insertion is one statement and one commit.
constexpr const char* kSchema = R"(
  CREATE TABLE IF NOT EXISTS message(number INTEGER PRIMARY KEY, content BLOB NOT NULL, run INTEGER, sequence INTEGER);
  CREATE TABLE IF NOT EXISTS state(one INTEGER PRIMARY KEY CHECK (one = 1), id INTEGER, next INTEGER, run INTEGER, sequence INTEGER);
  CREATE TRIGGER IF NOT EXISTS counted AFTER INSERT ON message BEGIN
    UPDATE state SET next = new.number + 1, run = new.run, sequence = new.sequence;
  END;
)";

}  // namespace

Result<Outbox> Outbox::open(const std::filesystem::path& directory, uint64_t quota) {
  std::error_code code;
  std::filesystem::create_directories(directory, code);
  FURNACE_TRY(Database database, Database::open(directory / "outbox.db", kSchema));
  Outbox outbox(std::move(database), quota);
  FURNACE_CHECK(outbox.load());
  return outbox;
}

Status Outbox::load() {
  if (!database_.read_only()) {
    FURNACE_TRY(Query fresh, database_.query("INSERT OR IGNORE INTO state VALUES(1, ?, 1, 0, 0)"));
    FURNACE_CHECK(fresh.bind(1, protocol::random_number()).run());
  }
  FURNACE_TRY(Query state, database_.query("SELECT id, next, run, sequence FROM state"));
  FURNACE_TRY(const bool found, state.step());
  if (!found) return {};
  id_ = state.number(0);
  next_ = state.number(1);
  last_ = {state.number(2), state.number(3)};
  FURNACE_TRY(
      Query waiting,
      database_.query(
          "SELECT COALESCE(MIN(number), ?), COALESCE(SUM(LENGTH(content)), 0), COUNT(*) FROM message"));
  FURNACE_TRY([[maybe_unused]] const bool row, waiting.bind(1, next_).step());
  first_ = waiting.number(0);
  used_ = waiting.number(1) + kOverhead * waiting.number(2);
  return {};
}

Status Outbox::append(std::string_view message, Origin origin) {
  if (origin.run != 0 && origin.run == last_.run && origin.sequence <= last_.sequence) return {};
  const uint64_t size = message.size() + kOverhead;
  if (used_ > quota_ || size > quota_ - used_)
    return fail(Errc::Busy,
                "the outbox is full: {} messages of {} bytes wait for the backend, and {} bytes are the most",
                waiting(), used_, quota_);
  FURNACE_TRY(Query query, database_.query("INSERT INTO message VALUES(?, ?, ?, ?)"));
  FURNACE_CHECK(query.bind(1, next_).bind(2, message).bind(3, origin.run).bind(4, origin.sequence).run());
  ++next_;
  used_ += size;
  last_ = origin;
  return {};
}

Result<std::optional<Outbox::Message>> Outbox::at_least(uint64_t number) {
  FURNACE_TRY(
      Query query,
      database_.query("SELECT number, content FROM message WHERE number >= ? ORDER BY number LIMIT 1"));
  FURNACE_TRY(const bool found, query.bind(1, number).step());
  if (!found) return std::nullopt;
  return Message{query.number(0), std::string(query.blob(1))};
}

Status Outbox::acknowledge(uint64_t number) {
  if (number < first_ || number >= next_) return {};
  FURNACE_TRY(
      Query sizes,
      database_.query("SELECT COALESCE(SUM(LENGTH(content)), 0), COUNT(*) FROM message WHERE number <= ?"));
  FURNACE_TRY([[maybe_unused]] const bool row, sizes.bind(1, number).step());
  const uint64_t freed = sizes.number(0) + kOverhead * sizes.number(1);
  FURNACE_TRY(Query query, database_.query("DELETE FROM message WHERE number <= ?"));
  FURNACE_CHECK(query.bind(1, number).run());
  first_ = number + 1;
  used_ -= freed;
  return {};
}

}  // namespace furnace::facilities
