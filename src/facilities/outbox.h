// Messages that must reach the backend: kept on disk until it has acknowledged them, in their order.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>

#include "facilities/database.h"

namespace furnace::facilities {

class Outbox {
 public:
  /// Opens or makes the database in `directory`. `quota`: bytes of all messages that wait together.
  [[nodiscard]] static Result<Outbox> open(const std::filesystem::path& directory, uint64_t quota);

  /// Where a message comes from: it is kept once, though its sender may have to say it again after it got no
  /// answer.
  struct Origin {
    uint64_t run = 0;       ///< of the sender; 0: it doesn't number its messages
    uint64_t sequence = 0;  ///< in that run, from 1 on
  };
  /// Keeps a message (a serialized BeMsg). When this returns it would survive a power loss.
  /// Errc::Busy: with those that wait this one is over the quota.
  [[nodiscard]] Status append(std::string_view message, Origin origin);

  struct Message {
    uint64_t number = 0;
    std::string content;
  };
  /// The first message with at least this number.
  [[nodiscard]] Result<std::optional<Message>> at_least(uint64_t number);

  /// Forgets all messages up to `number`.
  [[nodiscard]] Status acknowledge(uint64_t number);

  /// A random number that this outbox was given when it was made.
  [[nodiscard]] uint64_t id() const { return id_; }
  /// The number of the oldest message that waits, and of the next one to come; the same if none waits.
  [[nodiscard]] uint64_t first() const { return first_; }
  [[nodiscard]] uint64_t next() const { return next_; }
  [[nodiscard]] uint64_t waiting() const { return next_ - first_; }
  [[nodiscard]] uint64_t used() const { return used_; }

 private:
  Outbox(Database database, uint64_t quota) : database_(std::move(database)), quota_(quota) {}
  [[nodiscard]] Status load();

  Database database_;
  uint64_t quota_;
  uint64_t id_ = 0, first_ = 1, next_ = 1, used_ = 0;
  Origin last_;
};

}  // namespace furnace::facilities
