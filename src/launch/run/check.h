// What a manifest needs of this host, looked at before anything is started.
#pragma once

#include "launch/manifest.h"

namespace furnace::launch {

/// The files that it names, keys, and directories: what would keep each start from coming right.
void check_files(const Manifest& manifest, Problems& problems);

/// What may change by itself: the VM, and other partitions of the same app.
void check_surroundings(const Manifest& manifest, Problems& problems);

}  // namespace furnace::launch
