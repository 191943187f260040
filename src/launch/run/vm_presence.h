// Whether the VM of an app is there, and who serves it.
#pragma once

#include "base/result.h"
#include "launch/manifest.h"

namespace furnace::launch {

/// Returns true if another command runs the VMI partition of the app's directory: the lock says so.
[[nodiscard]] bool served_elsewhere(const Manifest::Vmi& vm);

/// Errc::NotFound: there is no such VM; the text says which there are. A VM that another VMI partition
/// serves is there.
[[nodiscard]] Status check_vm(const Manifest::Vmi& vm);

}  // namespace furnace::launch
