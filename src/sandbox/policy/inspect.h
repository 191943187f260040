// Runs a program under a policy until its last process ends.
#pragma once

#include <string>
#include <vector>

#include "base/result.h"
#include "sandbox/policy/call_supervisor.h"

namespace furnace::policy {

struct Ended {
  int exit_code = 0;  ///< of the program; 128 and the signal's number if one killed it
  bool violation = false;
};

/// A violation kills every process of the program at once. SIGTERM goes to the program; a second one ends
/// all.
[[nodiscard]] Result<Ended> inspect(const Policy& policy, const std::vector<std::string>& command,
                                    CallSupervisor::Options options);

}  // namespace furnace::policy
