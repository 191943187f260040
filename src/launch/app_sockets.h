// An app's way to its VMI and FAC partitions, and the locks that keep a second app of the same id away.
#pragma once

#include <vector>

#include "launch/options/app.h"
#include "sandbox/partition.h"

namespace furnace::launch {

/// Adds only the socket of this app, and waits a moment for it; with `common` the directory of the socket of
/// all apps. Chooses the partition's account. Errc::Unavailable: who is connected under this id already.
[[nodiscard]] Status add_vmi_socket(sandbox::Partition& partition, const AppOptions& app, bool common);
/// The same for FAC: if there is such a directory, or always if it is `wanted`.
[[nodiscard]] Status add_facilities_socket(sandbox::Partition& partition, const AppOptions& app, bool wanted);

/// Takes the locks of an app at its VMI and FAC partitions: one app, one connection. For an app without a
/// partition. Errc::Unavailable: who has them.
[[nodiscard]] Result<std::vector<Fd>> lock_app(const AppOptions& app);

}  // namespace furnace::launch
