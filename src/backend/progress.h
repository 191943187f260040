// How far each app's messages have come: durable ones are given to the backend once, and the loss of others
// is counted, over restarts of the backend too.
#pragma once

#include <filesystem>
#include <map>
#include <optional>
#include <string>

#include "base/fd.h"
#include "facilities.pb.h"
#include "protocol/sequence.h"

namespace furnace::backend {

struct AppProgress {
  uint64_t outbox = 0;                 ///< of the last durable message; 0: there was none
  uint64_t number = 0;                 ///< the last that the backend has had
  protocol::SequenceTracker received;  ///< the last one-way message
  uint64_t taken = 0;  ///< the last durable message that was given to a worker; not kept over a restart
};

/// What to do with a durable message.
enum class Verdict : uint8_t {
  Deliver,  ///< it is the next one
  Known,    ///< the backend has had it
  InWork,   ///< a worker has it
  TooEarly  ///< others before it are missing
};
[[nodiscard]] Verdict judge(const AppProgress& progress, const facilities::BeMsg& message);

class Progress {
 public:
  Progress() = default;  ///< keeps nothing over a restart
  /// One small file for each app in `directory`, which is made if it is missing.
  [[nodiscard]] static Result<Progress> open(const std::filesystem::path& directory);

  /// nullptr: there are too many apps (10,000).
  [[nodiscard]] AppProgress* of(const std::string& app);
  /// Keeps what `of(app)` says now, also if this process is killed after it.
  void save(const std::string& app);

 private:
  struct Kept {
    AppProgress progress;
    Fd file;
  };
  void load(const std::string& app, Kept& kept) const;

  std::filesystem::path directory_;
  std::map<std::string, Kept, std::less<>> apps_;
};

}  // namespace furnace::backend
