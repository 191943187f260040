// The test VMs' user space: a busybox initramfs, written without root and without cpio.
#pragma once

#include <string>

#include "base/result.h"

namespace furnace::cli {

/// An initramfs (cpio "newc", Linux: Documentation/driver-api/early-userspace/buffer-format.rst) with this
/// host's static busybox, an init that prints kGuestReady on the console and gives it a shell, and a small
/// workload.
[[nodiscard]] Result<std::string> make_initramfs();

/// What the console shows when the guest is up.
inline constexpr const char* kGuestReady = "furnace guest ready";

}  // namespace furnace::cli
