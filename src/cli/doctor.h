// `furnace doctor`: what this host can and can't do, and what to install.
#pragma once

#include <string>
#include <vector>

namespace furnace::cli {

enum class Verdict { Good, Limited, Missing };

struct Finding {
  Verdict verdict;
  std::string what;    ///< "QEMU"
  std::string state;   ///< "7.2.22"
  std::string advice;  ///< what to do, empty if nothing
};

[[nodiscard]] std::vector<Finding> examine_host();

/// Prints the findings; true if nothing that is needed is missing.
bool print_findings(const std::vector<Finding>& findings);

}  // namespace furnace::cli
