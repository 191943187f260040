// Landlock: a second wall, kept by another part of the kernel than namespaces and seccomp
// (Documentation/userspace-api/landlock.rst).
#pragma once

#include "sandbox/enter/plan.h"

namespace furnace::enter {

/// The newest version that the kernel has and we know of; 0: none.
[[nodiscard]] int landlock_version();

/// For this process and what it executes: everything read-only but `plan.writable`, no TCP but to
/// `plan.ports`, no abstract UNIX sockets and no signals outside. As far as the kernel has it. False, with
/// errno: failed.
[[nodiscard]] bool landlock(const Plan& plan);

}  // namespace furnace::enter
