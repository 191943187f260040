// Directories and files that somebody names: what leads to them is looked at, name by name.
#include "base/directory.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "support.h"

namespace furnace {
namespace {

namespace fs = std::filesystem;
using test::TemporaryDirectory;

class Directories : public ::testing::Test {
 protected:
  void SetUp() override { ASSERT_TRUE(Directory::make(own_, Care::Content)); }

  TemporaryDirectory temporary_;
  const fs::path own_ = temporary_.path() / "own";
};

TEST_F(Directories, AreMadeWithThoseBefore) {
  const auto made = Directory::make(own_ / "a/b/../c", Care::Content, 0700);
  ASSERT_TRUE(made) << made.error().message();
  EXPECT_EQ(made->path(), own_ / "a/c");
  EXPECT_EQ(fs::status(own_ / "a/c").permissions(), fs::perms::owner_all);
  EXPECT_EQ(made->owner(), ::geteuid());
  EXPECT_EQ(Directory::open(own_ / "missing", Care::Links).error().code(), Errc::NotFound);
}

TEST_F(Directories, OwnLinksAreFollowed) {
  ASSERT_TRUE(Directory::make(own_ / "real/below", Care::Content));
  fs::create_symlink("real", own_ / "link");
  const auto opened = Directory::open(own_ / "link/below", Care::Content);
  ASSERT_TRUE(opened) << opened.error().message();
  EXPECT_EQ(opened->path(), own_ / "real/below");
}

TEST_F(Directories, LinksInACircleEnd) {
  fs::create_symlink("b", own_ / "a");
  fs::create_symlink("a", own_ / "b");
  EXPECT_EQ(Directory::open(own_ / "a", Care::Links).error().code(), Errc::Invalid);
}

TEST_F(Directories, WhereOthersWriteIsTakenByTheCareThatFits) {
  ASSERT_EQ(::chmod(own_.c_str(), 01777), 0);
  EXPECT_TRUE(Directory::open(own_, Care::Names)) << "what lies in a sticky directory is its owner's";
  const auto sticky = Directory::open(own_, Care::Content);
  ASSERT_FALSE(sticky);
  EXPECT_EQ(sticky.error().code(), Errc::Denied);
  EXPECT_NE(sticky.error().message().find("chmod go-w"), std::string::npos);
  ASSERT_EQ(::chmod(own_.c_str(), 0777), 0);
  EXPECT_FALSE(Directory::open(own_, Care::Names));
  EXPECT_TRUE(Directory::open(own_, Care::Links));
  EXPECT_FALSE(Directory::make(own_ / "below", Care::Content));
}

TEST_F(Directories, GiveRegularFilesOfOneName) {
  const auto directory = Directory::open(own_, Care::Content);
  ASSERT_TRUE(directory);
  ASSERT_TRUE(write_file(own_ / "file", "text"));
  EXPECT_TRUE(directory->open_file("file", O_RDONLY));
  fs::create_symlink("file", own_ / "link");
  EXPECT_EQ(directory->open_file("link", O_RDONLY).error().code(), Errc::Denied);
  ASSERT_EQ(::mkfifo((own_ / "fifo").c_str(), 0600), 0);
  EXPECT_FALSE(directory->open_file("fifo", O_RDONLY)) << "and it is not waited for";
  EXPECT_FALSE(directory->open_file("../own/file", O_RDONLY)) << "no way out";
  fs::create_hard_link(own_ / "file", own_ / "second");
  EXPECT_EQ(directory->open_file("file", O_RDWR | O_TRUNC).error().code(), Errc::Denied);
  EXPECT_EQ(*read_file(own_ / "second"), "text") << "it was not cut";
}

TEST_F(Directories, LocksAreSharedOrNot) {
  const auto directory = Directory::open(own_, Care::Content);
  ASSERT_TRUE(directory);
  const auto shared = directory->lock("lock", true);
  ASSERT_TRUE(shared);
  EXPECT_TRUE(directory->lock("lock", true));
  EXPECT_EQ(directory->lock("lock").error().code(), Errc::Unavailable);
}

TEST_F(Directories, NamedFilesAreRegular) {
  ASSERT_TRUE(write_file(own_ / "file", "text"));
  fs::create_symlink("file", own_ / "link");
  const auto named = open_named(own_ / "link");
  ASSERT_TRUE(named) << named.error().message();
  EXPECT_EQ(named->path, own_ / "file");
  EXPECT_EQ(open_named(own_).error().code(), Errc::Invalid);
}

TEST_F(Directories, AFileIsWrittenOverALinkAndNotThroughIt) {
  ASSERT_TRUE(write_file(own_ / "target", "before"));
  fs::create_symlink("target", own_ / "link");
  ASSERT_TRUE(write_file(own_ / "link", "after"));
  EXPECT_EQ(*read_file(own_ / "target"), "before");
  EXPECT_FALSE(fs::is_symlink(own_ / "link"));
}

}  // namespace
}  // namespace furnace
