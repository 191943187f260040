// `furnace run`: the partitions of an app, from its manifest.
#pragma once

#include <string>

#include "base/result.h"

namespace furnace::cli {

struct RunOptions {
  std::string app, manifest;
  bool check = false;  ///< start nothing
};
/// The exit code is the app's. The error lists all that is wrong with the manifest.
[[nodiscard]] Status run_manifest(const RunOptions& options, int& exit_code);

/// For --help: keys that decide about starts, and what they are when a manifest lacks them.
[[nodiscard]] std::string manifest_defaults();

}  // namespace furnace::cli
