// Whether KVM on this host is worth using. A device that answers is not enough: hosts that are guests
// themselves may offer a KVM that emulates the guest's kernel one instruction at a time, which no kernel ever
// boots on.
#pragma once

#include "base/result.h"

namespace furnace::cli {

/// Runs a loop in a VM of its own. Errors: there is no KVM, it is not ours to use, it doesn't run 64-bit
/// code, or it takes so long that TCG is faster.
[[nodiscard]] Status kvm_usable();

}  // namespace furnace::cli
