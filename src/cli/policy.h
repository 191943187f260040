// `furnace policy`: make, check, compare and explain system call policies.
#pragma once

#include <string>
#include <vector>

#include "base/result.h"

namespace furnace::cli {

struct PolicyOptions {
  std::string file, other;           ///< policies
  std::string call;                  ///< name of a system call
  std::string output;                ///< file to write; empty: printed
  std::vector<std::string> command;  ///< program and arguments
  size_t files = 8;                  ///< used from one directory, before all of it is allowed
};

/// Runs the command with everything allowed, and writes the policy that it needs. `exit_code`: the program's.
[[nodiscard]] Status learn_policy(const PolicyOptions& options, int& exit_code);
/// Prints warnings and what the policy comes to.
[[nodiscard]] Status check_policy(const PolicyOptions& options);
/// Prints what `other` says and `file` doesn't (+), and the reverse (-). `exit_code`: 1 if they differ.
[[nodiscard]] Status compare_policies(const PolicyOptions& options, int& exit_code);
/// Prints what a policy says to one call, and by which rules.
[[nodiscard]] Status explain_policy(const PolicyOptions& options);

}  // namespace furnace::cli
