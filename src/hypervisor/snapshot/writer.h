// Makes snapshot files of a VM.
#pragma once

#include <functional>
#include <string>

#include "base/fd.h"
#include "hypervisor/hypervisor.h"

namespace furnace::hypervisor {

enum class SnapshotFormat { ElfCore, Raw };

struct SnapshotOptions {
  SnapshotFormat format = SnapshotFormat::ElfCore;
  bool zstd = false;  ///< in the seekable form: smaller, and read without unpacking
};

/// Called with the bytes done and those in all; an error ends the writing.
using SnapshotProgress = std::function<Status(uint64_t done, uint64_t total)>;

/// Writes the memory and registers of `vm` to an empty file; `name` is for errors. The VM is paused
/// meanwhile. Pages of zeros are left out as holes, also at the end: returns the size that the file is to
/// have.
[[nodiscard]] Result<uint64_t> write_snapshot(Hypervisor& vm, const Fd& file, const std::string& name,
                                              const SnapshotOptions& options,
                                              const SnapshotProgress& progress);

}  // namespace furnace::hypervisor
