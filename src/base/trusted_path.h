// Opens files and directories for what root does with them: nobody else can have put something else in their
// place.
#pragma once

#include <sys/types.h>

#include <filesystem>

#include "base/fd.h"

namespace furnace {

/// Opens `path` step by step, following no link that another user made. Each directory on the way, and what
/// is opened, must belong to root, to us or to `also`; where others may write, the directory must be sticky,
/// as /tmp is. Errc::Denied names the part that another user could exchange.
[[nodiscard]] Result<Fd> open_trusted(const std::filesystem::path& path, int flags, uid_t also);

/// Makes the directories on the way that are missing, and opens the last.
[[nodiscard]] Result<Fd> make_trusted_directory(const std::filesystem::path& path, uid_t also);

}  // namespace furnace
