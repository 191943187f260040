// Manifests: what they come to, and what is wrong with them.
#include "launch/manifest.h"

#include <fmt/ranges.h>
#include <gtest/gtest.h>

#include "launch/part.h"
#include "support.h"

namespace furnace::launch {
namespace {

std::vector<std::string> commands(std::string_view text) {
  Problems problems;
  const auto manifest = read_manifest(text, "/tenants/mine/furnace.toml", "mine", problems);
  EXPECT_EQ(problems.texts(), std::vector<std::string>{});
  std::vector<std::string> commands;
  for (const Part& part : parts_of(manifest.value())) commands.push_back(to_text(part));
  return commands;
}

/// All problems of a manifest, a line each.
std::string problems_of(std::string_view text, const std::string& app = "mine") {
  Problems problems;
  (void)read_manifest(text, "/m/furnace.toml", app, problems);
  return fmt::format("{}", fmt::join(problems.texts(), "\n"));
}

TEST(Manifest, OfOnlyAVmStartsItsVmiPartitionAndTheApp) {
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

TEST(Manifest, ThatIsWrongIsReportedWithItsLine) {
  const auto said = [](std::string_view text, std::string_view wanted) {
    EXPECT_NE(problems_of(text).find(wanted), std::string::npos) << problems_of(text);
  };
  said("[vm", "/m/furnace.toml:1: ");
  said("", "it needs a table [vm]");
  said("[vm]\nname = \"x\"\nnmae = 1", "/m/furnace.toml:3: unknown key 'nmae'");
  said("[vm]\nname = \"x\"\n[home]\nproxy = \"1.2.3.4:65535\"", "port from 1 to 65534");
  said("[vm]\nname = \"x\"\n[home]\nproxy = \"1.2.3:1\"", "'1.2.3' is no IP address");
  said("[vm]\nname = \"x\"\ndriver = \"xen5\"", "'driver' is 'xen5': expected one of");
  EXPECT_NE(problems_of("[vm]\nname = \"x\"", "a/b").find("app id"), std::string::npos);
}

/// A number of the manifest: where it is written, its least and its most.
struct NumberRow {
  const char* before;
  const char* key;
  int64_t least, most;
};
const NumberRow kNumbers[] = {{"", "start_limit_burst", 1, 1000},
                              {"", "start_limit_interval_seconds", 0, 86'400},
                              {"[vm]\nname = 'x'\n", "calls_per_second", 0, 1'000'000'000},
                              {"[home]\nproxy = '1.2.3.4:5'\n", "quota", 1, int64_t{1} << 50},
                              {"[limits.app]\n", "memory_mb", 1, 1 << 24},
                              {"[limits.fac]\n", "cpu_percent", 1, 100'000},
                              {"[limits.vmi]\n", "processes", 1, 1 << 22}};

TEST(Manifest, NumbersHaveBoundsThatTheErrorNames) {
  for (const NumberRow& row : kNumbers) {
    const std::string rest = std::string_view(row.before).starts_with("[vm]") ? "" : "\n[vm]\nname = 'x'\n";
    const auto with = [&](std::string_view number) {
      return problems_of(fmt::format("{}{} = {}{}", row.before, row.key, number, rest));
    };
    EXPECT_EQ(with(std::to_string(row.least)), "");
    EXPECT_EQ(with(std::to_string(row.most)), "");
    for (const std::string& wrong :
         {std::to_string(row.least - 1), std::to_string(row.most + 1), std::string("-9223372036854775808"),
          std::string("1.5"), std::string("1e9"), std::string("true")}) {
      const std::string said = with(wrong);
      EXPECT_NE(said.find(fmt::format("'{}' is ", row.key)), std::string::npos) << said;
      EXPECT_NE(said.find(fmt::format("expected a whole number, {} to {}", row.least, row.most)),
                std::string::npos)
          << said;
    }
    EXPECT_NE(with("99999999999999999999").find(fmt::format("{} = 99999", row.key)), std::string::npos)
        << with("99999999999999999999");
  }
}

TEST(Manifest, AllProblemsAreListed) {
  const std::string said = problems_of(
      "restart = \"perhaps\"\nfoo = 1\nbar = 2\n[vm]\nforbid = [\"fly\"]\n[home]\nproxy = \"x\"\n"
      "[limits.app]\nmemory_mb = -3\n");
  for (const char* each : {"'restart' is 'perhaps'", "'foo'", "'bar'", "a VM needs its 'name'", "'fly'",
                           "'proxy' is 'x'", "'memory_mb' is -3: expected a whole number, 1 to 16777216 MB"})
    EXPECT_NE(said.find(each), std::string::npos) << each << " is not in:\n" << said;
}

TEST(Manifest, PortsAreNotUsedTwice) {
  const auto with = [](int proxy, int backend, const char* ip = "127.0.0.1") {
    return problems_of(fmt::format("[vm]\nname = 'x'\n[home]\nproxy = '127.0.0.1:{}'\nbackend = '{}:{}'",
                                   proxy, ip, backend));
  };
  EXPECT_NE(with(5561, 5561).find("'proxy' and 'backend' both use port 5561"), std::string::npos);
  EXPECT_NE(with(5561, 5562).find("both use port 5562"), std::string::npos);
  EXPECT_NE(with(5562, 5561).find("both use port 5562"), std::string::npos);
  EXPECT_EQ(with(5561, 5563), "");
  EXPECT_EQ(with(5561, 5561, "10.0.0.1"), "");
}

}  // namespace
}  // namespace furnace::launch
