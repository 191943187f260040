// An execve that is checked when it is done, before the new program runs an instruction. The kernel reads
// the path of an execve itself, so that another thread could exchange it after a test: only ptrace stops a
// program in time.
#pragma once

#include <sys/types.h>

#include <optional>
#include <string>

namespace furnace::policy {

class CheckedExec {
 public:
  /// Attaches to a thread that waits in execve.
  explicit CheckedExec(pid_t thread);
  /// Resumes it, unless it was not released after `finish`: then it stays stopped.
  ~CheckedExec() = default;
  CheckedExec(const CheckedExec&) = delete;
  CheckedExec& operator=(const CheckedExec&) = delete;

  [[nodiscard]] bool attached() const { return attached_; }
  /// Waits until the execve ends. Returns the path of what runs now; nothing if it failed or the process has
  /// exited.
  [[nodiscard]] std::optional<std::string> finish();
  /// Lets the process run.
  void release();

 private:
  pid_t thread_;
  pid_t stopped_ = 0;  ///< the process that is stopped; its only thread
  bool attached_ = false;
};

}  // namespace furnace::policy
