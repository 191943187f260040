// Starts a program under a filter, and gets the filter's listener.
#pragma once

#include <linux/filter.h>
#include <sys/types.h>

#include <atomic>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "base/fd.h"
#include "base/result.h"

namespace furnace::policy {

/// Between the two processes: once the filter is loaded, a call of the child waits until its supervisor runs.
struct Handshake {
  static constexpr int kNotYet = -1;
  std::atomic<int> listener{kNotYet};  ///< the child's descriptor, or -errno - 1
  std::atomic<bool> taken{false};
  std::atomic<int> exec_error{0};  ///< why the program was not executed
};

struct Started {
  pid_t program = 0;  ///< waits in its execve for the supervisor
  Fd listener;
  std::shared_ptr<const Handshake> handshake;
};

/// `command`: a program (a path, or a name on the PATH) and its arguments. The error says why it can't be
/// run.
[[nodiscard]] Result<Started> start_under(std::span<const sock_filter> filter,
                                          const std::vector<std::string>& command);

/// Returns where a program is: the path itself, or the first on the PATH.
[[nodiscard]] Result<std::string> find_program(const std::string& name);

}  // namespace furnace::policy
