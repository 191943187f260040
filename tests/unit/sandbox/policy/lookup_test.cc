// How paths of a program are looked up in the view that it has.
#include "sandbox/policy/lookup.h"

#include <fcntl.h>

#include <filesystem>

#include "base/file.h"
#include "support.h"

namespace furnace::policy {
namespace {

class PathLookup : public ::testing::Test {
 protected:
  PathLookup() {
    std::filesystem::create_directories(root() / "a/b");
    std::filesystem::create_directory_symlink("a/b", root() / "link");
    EXPECT_TRUE(write_file(root() / "a/file", "text"));
  }
  [[nodiscard]] std::filesystem::path root() const { return directory_.path(); }
  [[nodiscard]] Found look_up(const std::string& path) const {
    TargetView view;
    view.root = test::take(open_file(root(), O_PATH | O_DIRECTORY));
    view.root_place = std::filesystem::canonical(root());
    return find(view, {.path = path});
  }

 private:
  test::TemporaryDirectory directory_;
};

TEST_F(PathLookup, FindsWhatIsThere) {
  const Found found = look_up("/link/../file");
  EXPECT_TRUE(found.object.valid());
  EXPECT_EQ(found.path, "/a/file");
}

TEST_F(PathLookup, FindsWhereAMissingFileWouldBeMade) {
  const Found found = look_up("/link//new/");
  EXPECT_FALSE(found.object.valid());
  EXPECT_EQ(found.path, "/a/b/new");
  EXPECT_TRUE(found.parent.valid());
  EXPECT_EQ(found.name, "new");
}

TEST_F(PathLookup, NamesWhatIsMissingBelowTheNearestDirectory) {
  for (const auto& [path, shown] : {std::pair("/link/x//y/z", "/a/b/x/y/z"), std::pair("/x/y", "/x/y"),
                                    std::pair("/a/file/x", "/a/file/x"), std::pair("/new", "/new")}) {
    const Found found = look_up(path);
    EXPECT_FALSE(found.object.valid()) << path;
    EXPECT_EQ(found.path, shown);
  }
  EXPECT_FALSE(look_up("/x/y").parent.valid());
}

TEST_F(PathLookup, TakesPathsOfThousandsOfComponents) {
  std::string path = "/link", shown = "/a/b";
  for (int i = 0; i < 1900; ++i) path += "/x", shown += "/x";
  EXPECT_EQ(look_up(path).path, shown);
  path.append(5000, '/');  // more than PATH_MAX
  const Found found = look_up(path + "y");
  EXPECT_EQ(found.error, ENAMETOOLONG);
  EXPECT_EQ(found.path, shown + "/y");
}

}  // namespace
}  // namespace furnace::policy
