// What a partition gets of the host: each adds one thing to its view or to its handles.
#pragma once

#include <filesystem>
#include <string>

#include "base/directory.h"
#include "sandbox/partition.h"

namespace furnace::launch {

/// Binds a directory that the partition writes to, and hands it over to the partition's account.
[[nodiscard]] Status add_writable(sandbox::Partition& partition, const Directory& directory,
                                  const char* place);
/// Binds a directory whose sockets the partition connects to.
[[nodiscard]] Status add_visible(sandbox::Partition& partition, const Directory& directory,
                                 const char* place);
/// Puts a copy of a file of any owner into the partition; at most 256 MB.
[[nodiscard]] Status add_file(sandbox::Partition& partition, const std::filesystem::path& source,
                              const std::filesystem::path& place);
/// Binds a large file itself, and lets the partition's account read it.
[[nodiscard]] Status add_large_file(sandbox::Partition& partition, const std::filesystem::path& source,
                                    const std::filesystem::path& place);
/// Keeps a descriptor open in the partition, as the value of an option of its program.
void add_handle(sandbox::Partition& partition, const std::string& option, Fd descriptor);
/// Binds the socket that shows counters, here, where its path is, and lends it. Does nothing if `where` is
/// empty.
[[nodiscard]] Status lend_metrics(sandbox::Partition& partition, const std::string& where);

}  // namespace furnace::launch
