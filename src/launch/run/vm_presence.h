// Whether the VM of an app is there, and who serves it.
#pragma once

#include "base/result.h"
#include "launch/manifest.h"

namespace furnace::launch {

/// The VMI partition of the app's directory is somebody else's: the lock says so.
[[nodiscard]] bool served_elsewhere(const Manifest::Vmi& vm);

/// Errc::NotFound: there is no such VM; the text says which there are. What somebody else's VMI partition
/// serves is there.
[[nodiscard]] Status check_vm(const Manifest::Vmi& vm);

}  // namespace furnace::launch
