// Kernels for test VMs: Debian's cloud kernel packages, fetched and unpacked into a cache, not installed.
#pragma once

#include <filesystem>
#include <string>

#include "base/result.h"

namespace furnace::cli {

/// The vmlinuz of a kernel package, fetched with apt-get unless it is cached. An empty name: a cached one, or
/// the newest of linux-image-cloud-amd64. Reports on standard error what it does.
[[nodiscard]] Result<std::filesystem::path> fetch_kernel(std::string package);

}  // namespace furnace::cli
