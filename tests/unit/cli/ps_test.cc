#include "cli/ps.h"

#include <nlohmann/json.hpp>
#include <set>
#include <sstream>

#include "base/printable.h"
#include "cli/vm/initramfs.h"
#include "cli/vm/test_vm.h"
#include "support.h"

namespace furnace::cli {
namespace {

using guest::Gva;
using guest::Process;

std::vector<Process> processes() {
  return {{.task = Gva{0x1000}, .pid = 1, .ppid = 0, .uid = 0, .name = "init"},
          {.task = Gva{0x2000}, .pid = 2, .ppid = 0, .uid = 0, .name = "kthreadd", .kernel_thread = true},
          {.task = Gva{0x3000}, .pid = 9, .ppid = 1, .uid = 33, .name = "a\x1b[2Jb"}};
}

TEST(Ps, TableFitsATerminalAndLetsNoEscapeThrough) {
  const std::string table = format_table(processes());
  EXPECT_NE(table.find("[kthreadd]"), std::string::npos);
  EXPECT_EQ(table.find('\x1b'), std::string::npos);
  EXPECT_NE(table.find("a\\x1b[2Jb"), std::string::npos);
}

TEST(Ps, ColumnsStayUnderTheirHeads) {
  const std::vector<Process> named = {
      {.task = Gva{0x1000}, .pid = 1, .ppid = 0, .uid = 0, .name = "init"},
      {.task = Gva{0x1000}, .pid = 2, .ppid = 0, .uid = 0, .name = "名前"},
      {.task = Gva{0x1000}, .pid = 3, .ppid = 0, .uid = 0, .name = "e\u0301t"},
      {.task = Gva{0x1000}, .pid = 4, .ppid = 0, .uid = 0, .name = "\xff\t"}};
  std::istringstream lines(format_table(named));
  std::set<size_t> ends;
  for (std::string line; std::getline(lines, line);)
    if (const size_t task = line.rfind(" 0x"); task != std::string::npos)
      ends.insert(columns_of(line.substr(0, task)));
  EXPECT_EQ(ends.size(), 1U);
}

TEST(Ps, JsonTakesNamesThatAreNoUtf8AndIsAscii) {
  const std::string json =
      format_json({{.task = Gva{0x1000}, .pid = 1, .ppid = 0, .uid = 0, .name = "a\xff\u009b\u202eb"}});
  EXPECT_TRUE(std::all_of(json.begin(), json.end(), [](char c) {
    return c == '\n' || (c >= ' ' && c < 0x7f);
  })) << json;
  EXPECT_EQ(nlohmann::json::parse(json)[0]["name"], "a\ufffd\u009b\u202eb");
}

TEST(Ps, JsonHasTheDocumentedFields) {
  const auto array = nlohmann::json::parse(format_json(processes()));
  ASSERT_EQ(array.size(), 3U);
  EXPECT_EQ(array[2]["pid"], 9);
  EXPECT_EQ(array[2]["ppid"], 1);
  EXPECT_EQ(array[2]["uid"], 33);
  EXPECT_EQ(array[2]["task"], 0x3000);
  EXPECT_EQ(array[1]["kernel_thread"], true);
}

TEST(Ps, TreeShowsEveryProcessOnceWhateverTheParentsClaim) {
  auto circle = processes();
  circle[0].ppid = 9;  // 1 -> 9 -> 1
  const std::string tree = format_tree(circle);
  for (const char* line : {"init", "kthreadd", "9 a"}) EXPECT_NE(tree.find(line), std::string::npos) << line;
  EXPECT_EQ(std::count(tree.begin(), tree.end(), '\n'), 3);
}

TEST(Initramfs, IsACpioArchive) {
  const std::string archive = furnace::test::take(make_initramfs());
  EXPECT_TRUE(archive.starts_with("070701"));
  EXPECT_NE(archive.find("TRAILER!!!"), std::string::npos);
  EXPECT_EQ(archive.size() % 4, 0U);
}

TEST(VmName, IsOneThatCanBePartOfAPath) {
  EXPECT_TRUE(place_of("web-1"));
  for (const char* bad : {"", "..", "a/b", ".hidden", "a b"}) EXPECT_FALSE(place_of(bad)) << bad;
}

}  // namespace
}  // namespace furnace::cli
