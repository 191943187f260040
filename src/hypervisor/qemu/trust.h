// Which processes are believed to be QEMUs. What a process calls itself says nothing: any user can start one
// of any name.
#pragma once

#include <sys/types.h>

#include <string>

#include "base/result.h"

namespace furnace::hypervisor {

/// The file of root's that names the users whose VMs may be introspected by root, one in a line, beside root
/// and the accounts that distributions run QEMU as.
inline constexpr const char* kUsersFile = "/etc/furnace/qemu-users";

/// Why process `pid` is none whose word is taken (Errc::Denied): it is of a user that isn't listed or, for
/// root, runs a program that others than root can change. For other users: it is not their own.
[[nodiscard]] Status check_trusted(pid_t pid);

}  // namespace furnace::hypervisor
