// One partition that is supervised: its launcher's process, what it says, and how it ended.
#pragma once

#include <sys/types.h>

#include <chrono>
#include <deque>
#include <filesystem>
#include <optional>
#include <string>

#include "base/fd.h"
#include "base/result.h"
#include "launch/part.h"

namespace furnace::launch {

using Clock = std::chrono::steady_clock;

/// How a process ended, as waitpid(2) reports it.
struct End {
  int exit_code = 0;  ///< 128 and the signal's number if a signal ended it
  std::string text;   ///< for people: "exit code 1", "signal 11 (Segmentation fault)"
  double seconds = 0;
};

class PartProcess {
 public:
  explicit PartProcess(Part part) : part_(std::move(part)) {}

  /// Starts it: its log comes to us, its output goes where ours goes, readiness is reported at
  /// `ready_address` (sd_notify(3)). It is ended with us, whatever ends us.
  [[nodiscard]] Status start(const std::string& ready_address);
  /// `SIGTERM`, or what else.
  void signal(int number) const;

  [[nodiscard]] const Part& part() const { return part_; }
  [[nodiscard]] pid_t pid() const { return pid_; }
  [[nodiscard]] bool running() const { return pid_ > 0; }
  [[nodiscard]] int end_descriptor() const { return ended_.get(); }
  [[nodiscard]] int log_descriptor() const { return log_.get(); }

  /// Hands on what it has logged, and keeps the last lines. False: there was nothing.
  bool take_log();
  /// Call when end_descriptor() is readable.
  [[nodiscard]] End take_end();
  [[nodiscard]] const std::deque<std::string>& last_lines() const { return lines_; }

  bool ready = false;

 private:
  [[noreturn]] void become(int log, const std::string& ready_address) const;

  Part part_;
  pid_t pid_ = -1;
  Fd ended_, log_;
  std::string partial_;
  std::deque<std::string> lines_;
  Clock::time_point started_{};
};

/// Writes what is known of an end into a new file of `directory`, and removes the oldest of too many. The
/// path.
[[nodiscard]] Result<std::filesystem::path> write_crash_report(const std::filesystem::path& directory,
                                                               const PartProcess& process, const End& end,
                                                               unsigned restarts);

}  // namespace furnace::launch
