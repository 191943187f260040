// Manifests: what they come to, and what is wrong with them.
#include "supervision/manifest.h"

#include <fmt/ranges.h>
#include <gtest/gtest.h>

#include "support.h"

namespace furnace::supervision {
namespace {

using furnace::test::message_of;
using furnace::test::take;

std::vector<std::string> commands(std::string_view text) {
  const Manifest manifest = take(parse_manifest(text, "/tenants/mine/furnace.toml", "mine"));
  std::vector<std::string> commands;
  for (const Part& part : parts_of(manifest)) commands.push_back(to_text(part));
  return commands;
}

TEST(Manifest, OfAVmAloneStartsItsVmiPartitionAndTheApp) {
  EXPECT_EQ(
      commands("[vm]\nname = \"playground\""),
      (std::vector<std::string>{
          "furnace vmi playground --driver auto --vmi /tenants/mine/vmi_socket",
          "furnace app --code /tenants/mine/app -m App --u2 mine --md '' --vmi /tenants/mine/vmi_socket"}));
}

TEST(Manifest, WithALineHomeStartsWhatLeadsThereFirst) {
  const auto all = commands(R"(
[vm]
name = "playground"
forbid = ["write", "events"]
[home]
proxy = "10.0.0.1:5561"
backend = "192.0.2.7:5571"
quota = 1000
[limits.fac]
memory_mb = 50
)");
  ASSERT_EQ(all.size(), 4U);
  EXPECT_NE(all[0].find("--forbid mine=write --forbid mine=events"), std::string::npos);
  EXPECT_EQ(all[1],
            "furnace proxy --ak /tenants/mine/app.key --bk /tenants/mine/be.key --ip 10.0.0.1 --it 5561 "
            "--ep 192.0.2.7 --et 5571");
  EXPECT_EQ(all[2],
            "furnace fac --u2 mine --kp /tenants/mine --ip 10.0.0.1 --it 5561 --fac "
            "/tenants/mine/fac_socket --storage /tenants/mine/storage --qt _furnace_max_disk:1000 "
            "--memory 50");
  EXPECT_NE(all[3].find("--fac /tenants/mine/fac_socket"), std::string::npos);
}

TEST(Manifest, NamesAreQuotedForAShell) {
  const auto all = commands("metadata = \"it's $HOME\"\n[vm]\nname = \"x\"");
  EXPECT_NE(all[1].find(R"(--md 'it'\''s $HOME')"), std::string::npos) << all[1];
}

TEST(Manifest, ThatIsWrongIsToldWithItsLine) {
  const auto told = [](std::string_view text) {
    return message_of(parse_manifest(text, "/m/furnace.toml", "mine"));
  };
  EXPECT_NE(told("[vm").find("/m/furnace.toml:1: "), std::string::npos);
  EXPECT_NE(told("").find("it needs a table [vm]"), std::string::npos);
  EXPECT_NE(told("[vm]\nname = \"x\"\nnmae = 1").find("/m/furnace.toml:3: unknown key 'nmae'"),
            std::string::npos);
  EXPECT_NE(told("[vm]\nname = \"x\"\n[home]\nproxy = \"1.2.3.4:65535\"").find("port from 1 to 65534"),
            std::string::npos);
  EXPECT_NE(told("[vm]\nname = \"x\"\n[limits.app]\ncpu_percent = 0").find("expected more than 0"),
            std::string::npos);
  EXPECT_NE(told("[vm]\nname = \"x\"\ndriver = \"xen5\"").find("'driver': expected one of"),
            std::string::npos);
  EXPECT_NE(message_of(parse_manifest("[vm]\nname = \"x\"", "/m/furnace.toml", "a/b")).find("app id"),
            std::string::npos);
}

}  // namespace
}  // namespace furnace::supervision
