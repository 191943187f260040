// The part of Python's standard library that apps in a partition get.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "base/result.h"

namespace furnace::sandbox {

struct PythonLibrary {
  std::string zip_name;                           ///< "python311.zip": where Python looks for one
  std::string directory;                          ///< "python3.11"
  std::vector<std::filesystem::path> sources;     ///< what is in the zip file, compiled
  std::vector<std::filesystem::path> extensions;  ///< shared objects
};

/// Writes the modules of the list in python_library.cc, with all that they import, and those in `ours`,
/// compiled into `zip`. One file, because every file opened costs time under a policy. The same bytes each
/// time. `more`: modules of the host's packages, separated by spaces; the error names one that is not
/// installed.
[[nodiscard]] Result<PythonLibrary> collect_python_library(const std::filesystem::path& zip,
                                                           const std::filesystem::path& ours,
                                                           std::string_view more);

}  // namespace furnace::sandbox
