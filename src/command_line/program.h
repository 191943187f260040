// What every executable of ours shares: option parsing, logging flags, exit codes.
#pragma once

#include <CLI/CLI.hpp>
#include <functional>
#include <string>

#include "base/result.h"

namespace furnace {

/// Exit codes: 0 done, 1 failed, 2 wrong usage, 3 what it needs has exited (Errc::Gone), 128 and the number
/// of a signal that interrupted it.
class Program {
 public:
  /// `name` as the user calls it ("furnace-fac"), for usage and log lines.
  Program(const std::string& name, const std::string& description);

  [[nodiscard]] CLI::App& options() { return app_; }

  /// Parses the command line, sets the log up and runs `body`; prints its error.
  int run(int argc, char** argv, const std::function<Status()>& body);

  /// Returns the index of the first argument that is neither one of the options that all programs have nor a
  /// value of one; `argc` if there is none.
  [[nodiscard]] static int first_command(int argc, char** argv);

  /// Logs warnings and errors only, unless -d is given: for commands whose output is their answer.
  void be_quiet(bool quiet = true) { quiet_ = quiet; }

 private:
  std::string name_;
  CLI::App app_;
  bool debug_ = false;
  bool quiet_ = false;
  std::string log_format_ = "text";
};

/// A partition's program calls this when it has all it needs: it gives up the rights of its start, and the
/// launcher knows that it is ready (wire.md section 7: the attempt to open ESTABLISHED).
void establish();

/// Notifies the process that has started this one, if that waits for it, that this one is ready: systemd with
/// Type=notify (sd_notify(3)), and `furnace run`.
void report_ready();

}  // namespace furnace
