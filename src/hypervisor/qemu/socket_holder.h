// Who has a UNIX socket of QEMU's: it serves one client at a time, and leaves the others waiting without a
// word.
#pragma once

#include <sys/types.h>

#include <filesystem>
#include <optional>
#include <string>

namespace furnace::hypervisor {

struct SocketHolder {
  pid_t pid = 0;     ///< 0: not to be seen from here
  std::string name;  ///< of its program, fit for a message; empty where it is not to be seen

  /// Returns true for processes of ours that let go of the socket within a second or two by themselves: a
  /// guard, or a command such as `furnace ps`.
  [[nodiscard]] bool is_brief() const;
  /// "furnace vmi, pid 12".
  [[nodiscard]] std::string text() const;
};

/// Returns the client that the listener at `path` has accepted, if it has one. It asks the kernel
/// (unix_diag, sock_diag(7)) and connects to nothing. nullopt where the kernel doesn't tell.
[[nodiscard]] std::optional<SocketHolder> holder_of(const std::filesystem::path& path);

}  // namespace furnace::hypervisor
