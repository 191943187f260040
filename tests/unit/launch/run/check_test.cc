// What keeps an app from starting is found before anything is started.
#include "launch/run/check.h"

#include <fmt/ranges.h>
#include <gtest/gtest.h>

#include "base/file.h"
#include "launch/run/python_class.h"
#include "support.h"

namespace furnace::launch {
namespace {

using furnace::test::message_of;
using furnace::test::TemporaryDirectory;

class Check : public ::testing::Test {
 protected:
  void write(const char* name, std::string_view content) {
    ASSERT_TRUE(write_file(directory_.path() / name, content));
  }
  std::string problems(std::string_view manifest) {
    Problems problems;
    const auto read = read_manifest(manifest, directory_.path() / "furnace.toml", "mine", problems);
    if (read) check_files(*read, problems);
    return fmt::format("{}", fmt::join(problems.texts(), "\n"));
  }
  std::string problems_with(std::string_view keys) {
    return problems(fmt::format("{}\n[vm]\nname = 'sim'\ndriver = 'simulator'", keys));
  }
  std::string class_error(std::string_view source, const char* name = "App") {
    write("source.py", source);
    const Status found = check_python_class(directory_.path() / "source.py", name);
    return found ? "" : found.error().message();
  }

  TemporaryDirectory directory_;
};

TEST_F(Check, FindsNothingWrongWithAGoodApp) {
  write("app.py", "class App:\n    pass\n");
  EXPECT_EQ(problems_with(""), "");
}

TEST_F(Check, NamesCodeThatIsMissingOrNoCode) {
  EXPECT_NE(problems_with("").find("app.py nor "), std::string::npos) << problems_with("");
  EXPECT_NE(problems_with("code = 'native.so'").find("native.so: No such file"), std::string::npos);
  write("native.so", "text");
  EXPECT_NE(problems_with("code = 'native'").find("native.so: not a shared object"), std::string::npos);
  write("native.so",
        "\x7f"
        "ELF and nothing else");
  EXPECT_NE(problems_with("code = 'native'").find("exports no furnace_app_make"), std::string::npos);
  write("native.so",
        "\x7f"
        "ELF furnace_app_make");
  EXPECT_EQ(problems_with("code = 'native'"), "");
}

TEST_F(Check, NamesAllFilesThatAreMissing) {
  write("app.py", "class Other: pass");
  const std::string said = problems(
      "files = ['rules.json', 'a/app.py']\nmetadata = ''\n[vm]\nname = 'sim'\nprofile = 'kernel.json'\n"
      "[home]\nproxy = '127.0.0.1:5561'\nbackend = '127.0.0.1:5571'");
  for (const char* each :
       {"it defines no class 'App' (its classes: Other)", "rules.json: No such file",
        "a/app.py: No such file", "two files have the name app.py", "kernel.json: No such file",
        "app.key: No such file", "be.pub: No such file", "be.key: No such file"})
    EXPECT_NE(said.find(each), std::string::npos) << each << " is not in:\n" << said;
}

TEST_F(Check, NamesWhatIsNoDirectory) {
  write("app.py", "class App: pass");
  write("file", "");
  write("crashes", "");
  const std::string said = problems("[vm]\nname = 'sim'\nsockets = 'file/sockets'");
  EXPECT_NE(said.find("file: not a directory"), std::string::npos) << said;
  EXPECT_NE(said.find("crashes: not a directory"), std::string::npos) << said;
}

TEST_F(Check, FindsClassesOfAnyKind) {
  for (const char* good :
       {"class App:\n  pass", "if 1:\n  class App: pass\n", "from x import App", "from x import Y as App",
        "App = make()", "from x import *", "try:\n  from x import App\nexcept ImportError:\n  App = 1",
        "# coding: latin-1\nclass App: '\xe4'"})
    EXPECT_EQ(class_error(good), "") << good;
}

TEST_F(Check, RefusesASourceWithoutTheClass) {
  EXPECT_NE(class_error("class A: pass\nclass B:\n  class App: pass\n").find("(its classes: A, B)"),
            std::string::npos);
  EXPECT_NE(class_error("def f():\n  class App: pass\n").find("(its classes: none)"), std::string::npos);
  EXPECT_NE(class_error("x = 1\nclass App\n").find("line 2: "), std::string::npos)
      << class_error("x = 1\nclass App\n");
  EXPECT_NE(class_error("a = '\\0'" + std::string(1, '\0')).find("source.py: "), std::string::npos);
  EXPECT_NE(class_error(std::string(300'000, '(')).find("source.py: "), std::string::npos);
}

TEST_F(Check, RunsNothingOfTheSource) {
  const auto marker = directory_.path() / "ran";
  write("os.py", fmt::format("open('{}', 'w')", marker.string()));
  EXPECT_EQ(class_error(fmt::format("import os\nopen('{}', 'w')\nclass App: pass", marker.string())), "");
  EXPECT_FALSE(std::filesystem::exists(marker));
}

}  // namespace
}  // namespace furnace::launch
