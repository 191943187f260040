// Makes a policy of what a program does.
#pragma once

#include <set>
#include <string>
#include <vector>

#include "base/result.h"
#include "sandbox/policy/inspect.h"

namespace furnace::policy {

/// What a program was seen to do.
class Lesson {
 public:
  void add(const Decided& call);
  /// The smallest policy that allows it. `files`: a directory from which more files than that were used is
  /// allowed as a whole.
  [[nodiscard]] Policy policy(size_t files) const;
  /// Returns the text of that policy. Comments name the paths that no rule can name.
  [[nodiscard]] std::string text(size_t files) const;

 private:
  struct Seen {
    std::set<std::string> paths;
    std::set<uint64_t> values;  ///< of the argument that decides
    bool any = false;           ///< other ways to reach it
  };
  std::array<std::map<uint32_t, Seen>, 2> seen_;  ///< by level
  std::set<std::string> unnameable_;              ///< paths that would be another text in a policy
};

/// Runs a program with everything allowed. `exit_code` is the program's.
[[nodiscard]] Result<Lesson> learn(const std::vector<std::string>& command, int& exit_code);

}  // namespace furnace::policy
