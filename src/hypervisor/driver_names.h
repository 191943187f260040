// The drivers by name, for command lines and manifests of processes that hold none of them.
#pragma once

#include <array>

namespace furnace::hypervisor {

/// "auto": a file is a snapshot, or the description of a simulated guest if it ends in .toml; any other name
/// is that of a domain where we run in a Xen host's dom0, or else of a QEMU.
inline constexpr std::array kDrivers = {"auto", "qemu", "xen", "snapshot", "simulator", "libvmi"};

}  // namespace furnace::hypervisor
