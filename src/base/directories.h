// Where our files are if the user named no other place.
#pragma once

#include <filesystem>
#include <string_view>

#include "base/directory.h"

namespace furnace {

/// What can be made again: $FURNACE_CACHE, else furnace in the user's cache, else /var/cache/furnace. Here
/// and below the user's directory counts if it is that of the user that we run as.
[[nodiscard]] std::filesystem::path cache_directory();

/// What ends with the host: $FURNACE_RUN, else furnace in the user's run directory, /run/furnace for root.
[[nodiscard]] std::filesystem::path run_directory();

/// That directory, or the one with the name `below` in it, made only for us if it is missing. Errc::Denied
/// if it is not ours: in /tmp another user may have made it.
[[nodiscard]] Result<Directory> make_run_directory(std::string_view below = {});

/// Tenants' data and the partitions' roots: $FURNACE_DIR, else /opt/furnace (wire.md section 6).
[[nodiscard]] std::filesystem::path furnace_directory();

/// Where our programs are: beside the one that runs. Empty where /proc is not seen, as in a partition.
[[nodiscard]] std::filesystem::path program_directory();

/// Files that belong to our programs ("python", "policies"): beside the build's bin/, or in lib/furnace of an
/// installation.
[[nodiscard]] std::filesystem::path installed_directory(std::string_view name);

}  // namespace furnace
