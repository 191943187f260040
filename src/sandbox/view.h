// What a partition sees: a root of its own and a few places in it (wire.md section 6), as bubblewrap makes
// it.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "base/fd.h"
#include "base/result.h"

namespace furnace::sandbox {

struct View {
  /// A directory or file of the host at a place inside. bubblewrap binds by path; furnace-enter then looks
  /// whether it is the one that the launcher looked at, or another that was put in its place meanwhile.
  struct Bind {
    std::filesystem::path source, place;
    bool writable = false;
    uint64_t device = 0, inode = 0;
  };
  /// A file that exists only inside: whose owner and rights outside don't matter.
  struct Content {
    std::filesystem::path place;
    Fd data;  ///< read from its start
  };
  std::filesystem::path root;
  std::vector<Bind> binds;  ///< to places that the root has
  std::vector<Bind> files;  ///< to places that are made
  std::vector<Content> contents;
  bool network = false;
  bool debug = false;  ///< with the host's programs, /proc and a terminal: for a shell inside
};

/// A bind of what is open, which is at `source`.
[[nodiscard]] Result<View::Bind> bind_of(int descriptor, const std::filesystem::path& source,
                                         const std::filesystem::path& place, bool writable = false);

/// A file in memory that holds `data`.
[[nodiscard]] Result<Fd> memory_file(std::string_view data);

/// bubblewrap's command line, up to the program. As root it makes the namespaces with the rights of root, and
/// furnace-enter makes the user namespace; otherwise bubblewrap makes that first.
[[nodiscard]] std::vector<std::string> bubblewrap(const View& view, bool as_root, int info_descriptor);

}  // namespace furnace::sandbox
