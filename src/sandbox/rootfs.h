// The read-only root of a partition: what its program needs, out of the host's own packages, and nothing
// else.
#pragma once

#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "base/fd.h"
#include "base/result.h"

namespace furnace::sandbox {

/// No shell, no tools, nothing setuid, no /proc, no /dev. Built twice from the same packages it is the same.
struct RootKind {
  const char* name;
  const char* program;  ///< in /usr/bin
  bool python;
  std::string_view modules = {};  ///< of Python, beside its own library: of Debian's packages
};

inline constexpr std::string_view kManifest = "manifest";
/// Runs first in every partition.
inline constexpr const char* kEnter = "/usr/lib/furnace/furnace-enter";

/// Builds a root in `directory`, which takes the place of a root that is there, and of nothing else.
/// Its hash: SHA-256 of the manifest, which holds those of all files.
[[nodiscard]] Result<std::string> build_root(const RootKind& kind, const std::filesystem::path& directory);

/// What is not as the manifest says; `hash` is the manifest's.
struct Verified {
  std::string hash;
  std::vector<std::string> differences;
  size_t files = 0;
};
[[nodiscard]] Result<Verified> verify_root(const std::filesystem::path& directory);

/// Where roots are: the operator's in $FURNACE_DIR (app_filesystem, ...), or one of our own in the cache,
/// which is built when it is missing or the host's packages or our programs changed.
struct Root {
  std::filesystem::path directory;
  Fd lock;  ///< while it is held no process removes the root
};
[[nodiscard]] Result<Root> find_root(const RootKind& kind);

/// In $FURNACE_DIR: wire.md section 6.
[[nodiscard]] std::filesystem::path operators_root(const RootKind& kind);

}  // namespace furnace::sandbox
