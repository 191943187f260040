// What a partition gets of the host: each adds one thing to its view or to its handles.
#pragma once

#include <filesystem>
#include <string>

#include "base/directory.h"
#include "sandbox/partition.h"

namespace furnace::launch {

/// A directory that the partition writes to; it is handed over to the partition's account.
[[nodiscard]] Status add_writable(sandbox::Partition& partition, const Directory& directory,
                                  const char* place);
/// A directory whose sockets it connects to.
[[nodiscard]] Status add_visible(sandbox::Partition& partition, const Directory& directory,
                                 const char* place);
/// A copy of a file of any owner; at most 256 MB.
[[nodiscard]] Status add_file(sandbox::Partition& partition, const std::filesystem::path& source,
                              const std::filesystem::path& place);
/// A large file: the file itself, which its account is let read.
[[nodiscard]] Status add_large_file(sandbox::Partition& partition, const std::filesystem::path& source,
                                    const std::filesystem::path& place);
/// A descriptor that stays open in the partition, as the value of an option of its program.
void add_handle(sandbox::Partition& partition, const std::string& option, Fd descriptor);
/// The socket that shows counters, bound here, where its path is. Nothing if `where` is empty.
[[nodiscard]] Status lend_metrics(sandbox::Partition& partition, const std::string& where);

}  // namespace furnace::launch
