// Makes snapshot files of a VM.
#pragma once

#include <filesystem>
#include <functional>

#include "hypervisor/hypervisor.h"

namespace furnace::hypervisor {

enum class SnapshotFormat { ElfCore, Raw };

struct SnapshotOptions {
  SnapshotFormat format = SnapshotFormat::ElfCore;
  bool zstd = false;  ///< in the seekable form: smaller, and read without unpacking
};

/// Called with the bytes done and those in all; an error ends the writing.
using SnapshotProgress = std::function<Status(uint64_t done, uint64_t total)>;

/// Writes the memory and registers of `vm` to `file`, which appears only when it is whole. The VM is paused
/// meanwhile. Pages of zeros are left out as holes.
[[nodiscard]] Status write_snapshot(Hypervisor& vm, const std::filesystem::path& file,
                                    const SnapshotOptions& options, const SnapshotProgress& progress);

}  // namespace furnace::hypervisor
