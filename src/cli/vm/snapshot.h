// `furnace vm snapshot`: a VM's memory into a file.
#pragma once

#include <string>

#include "base/result.h"

namespace furnace::cli {

struct SnapshotCommand {
  std::string vm, file;
  std::string format = "elf";  ///< elf or raw
  bool zstd = false;
  bool unconfined = false;  ///< without the walls around what looks into the guest
};

/// Shows progress where standard error is a terminal. A signal interrupts it, and leaves no file.
[[nodiscard]] Status snapshot_vm(const SnapshotCommand& command);

}  // namespace furnace::cli
