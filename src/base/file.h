// Whole files: read with a limit, replaced atomically.
#pragma once

#include <filesystem>
#include <string>
#include <string_view>

#include "base/fd.h"
#include "base/result.h"

namespace furnace {

/// The content of a file of at most `limit` bytes (also of /proc files, whose size is not known before).
[[nodiscard]] Result<std::string> read_file(const std::filesystem::path& path, size_t limit = 64 << 20);

/// Opens a file whose place a FIFO or a device may have taken: does not wait for a writer.
[[nodiscard]] Result<Fd> open_to_read(const std::filesystem::path& path);

/// Returns the content of a descriptor, from its position to its end.
[[nodiscard]] Result<std::string> read_descriptor(const Fd& file, size_t limit = 64 << 20);

/// Writes `content` beside `path` and renames it into place: readers see the old file or the new, whole.
/// Links of another user are not followed (base/directory.h).
[[nodiscard]] Status write_file(const std::filesystem::path& path, std::string_view content,
                                unsigned mode = 0644);

/// An unnamed file in the directory for temporary ones; it goes with its descriptor.
[[nodiscard]] Result<Fd> temporary_file();

/// An exclusive lock on a file that is made if missing; freed by the kernel when the holder ends.
/// Errc::Unavailable when another process holds it.
[[nodiscard]] Result<Fd> lock_file(const std::filesystem::path& path);

}  // namespace furnace
