// The files of UNIX sockets that partitions serve at: ZeroMQ leaves them where they are.
#pragma once

#include <array>
#include <filesystem>

namespace furnace::protocol {

/// A partition that serves in a directory holds the lock there.
struct SocketFiles {
  const char* lock;
  std::array<const char*, 3> names;
};
inline constexpr SocketFiles kVmiSockets{"vmi_rtr.lock", {"vmi_rtr"}};
inline constexpr SocketFiles kFacilitySockets{"fac_rtr.lock", {"fac_rtr", "fac_pub", "fac_tap"}};

/// Removes them from `directory` and from the directories in it, unless a partition serves there. No link is
/// followed below `directory`, and nothing but sockets is removed: partitions may write there.
void remove_sockets(const std::filesystem::path& directory, const SocketFiles& files);

}  // namespace furnace::protocol
