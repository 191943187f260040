// Sockets that nobody serves any more are removed, and nothing else.
#include "protocol/socket_files.h"

#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "base/file.h"
#include "support.h"

namespace furnace::protocol {
namespace {

namespace fs = std::filesystem;
using furnace::test::TemporaryDirectory;

void make_socket(const fs::path& path) {
  fs::create_directories(path.parent_path());
  sockaddr_un address{AF_UNIX, {}};
  path.string().copy(address.sun_path, sizeof address.sun_path - 1);
  const Fd socket(::socket(AF_UNIX, SOCK_STREAM, 0));
  ASSERT_EQ(::bind(socket.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address), 0);
}

TEST(SocketFiles, AreRemovedOnceNoProcessServes) {
  const TemporaryDirectory made;
  const fs::path& directory = made.path();
  make_socket(directory / "vmi_rtr");
  make_socket(directory / "an-app/vmi_rtr");
  make_socket(directory / "other");
  remove_sockets(directory, kVmiSockets);
  EXPECT_TRUE(fs::exists(directory / "vmi_rtr")) << "without a lock nobody of ours has served";
  {
    const auto held = lock_file(directory / "vmi_rtr.lock");
    remove_sockets(directory, kVmiSockets);
    EXPECT_TRUE(fs::exists(directory / "vmi_rtr"));
  }
  remove_sockets(directory, kVmiSockets);
  EXPECT_FALSE(fs::exists(directory / "vmi_rtr"));
  EXPECT_FALSE(fs::exists(directory / "an-app/vmi_rtr"));
  EXPECT_TRUE(fs::exists(directory / "other"));
}

TEST(SocketFiles, AreNotLookedForThroughLinks) {
  const TemporaryDirectory made, elsewhere;
  make_socket(elsewhere.path() / "vmi_rtr");
  ASSERT_TRUE(write_file(made.path() / "vmi_rtr.lock", ""));
  ASSERT_TRUE(write_file(made.path() / "vmi_rtr", "no socket"));
  fs::create_directory_symlink(elsewhere.path(), made.path() / "an-app");
  remove_sockets(made.path(), kVmiSockets);
  EXPECT_TRUE(fs::exists(elsewhere.path() / "vmi_rtr"));
  EXPECT_TRUE(fs::exists(made.path() / "vmi_rtr"));
}

}  // namespace
}  // namespace furnace::protocol
