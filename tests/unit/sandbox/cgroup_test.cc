// Which hierarchies of control groups a host has. What groups do is tested on the host's own (tests/e2e).
#include "sandbox/cgroup.h"

#include "base/file.h"
#include "support.h"

namespace furnace::sandbox {
namespace {

using furnace::test::message_of;
using furnace::test::take;

std::string all_three(const std::filesystem::path&) {
  return "cpuset cpu io memory hugetlb pids rdma\n";
}
std::string none(const std::filesystem::path&) {
  return "";
}

TEST(Hierarchies, VersionTwo) {
  const auto found = take(Hierarchies::of("cgroup2 /sys/fs/cgroup cgroup2 rw,nsdelegate 0 0\n", all_three));
  EXPECT_TRUE(found.unified);
  EXPECT_EQ(found.mounts.at("memory"), "/sys/fs/cgroup");
}

TEST(Hierarchies, VersionOneBesideAnEmptyVersionTwo) {
  const auto found =
      take(Hierarchies::of("tmpfs /sys/fs/cgroup tmpfs ro 0 0\n"
                           "cgroup2 /sys/fs/cgroup/unified cgroup2 rw 0 0\n"
                           "cgroup /sys/fs/cgroup/cpu,cpuacct cgroup rw,cpu,cpuacct 0 0\n"
                           "cgroup /sys/fs/cgroup/memory cgroup rw,memory 0 0\n"
                           "cgroup /sys/fs/cgroup/pids cgroup rw,pids 0 0\n",
                           none));
  EXPECT_FALSE(found.unified);
  EXPECT_EQ(found.mounts.at("cpu"), "/sys/fs/cgroup/cpu,cpuacct");
  EXPECT_EQ(found.mounts.at("cpuacct"), "/sys/fs/cgroup/cpu,cpuacct");
  EXPECT_EQ(found.mounts.at("pids"), "/sys/fs/cgroup/pids");
}

TEST(Hierarchies, WhatIsMissingIsNamed) {
  EXPECT_EQ(
      message_of(Hierarchies::of("cgroup /c cgroup rw,cpu 0 0\ncgroup /m cgroup rw,memory 0 0\n", none)),
      "no control groups with the controller 'pids' are mounted on this host");
  EXPECT_NE(message_of(Hierarchies::of("", none)).find("'cpu'"), std::string::npos);
}

TEST(CgroupNames, LeadNowhereElse) {
  const Hierarchies nowhere{true, {{"cpu", "/nowhere"}, {"memory", "/nowhere"}, {"pids", "/nowhere"}}};
  for (const char* name : {"", ".", "..", "a/b", "../x", "a b", "\n"})
    EXPECT_NE(message_of(Cgroup::make(nowhere, name, {})).find("expected 1 to 64 of"), std::string::npos)
        << name;
  EXPECT_NE(message_of(Cgroup::open(nowhere, "missing")).find("no cgroup 'missing'"), std::string::npos);
}

/// A hierarchy of version 2 made of plain files: what is written where.
TEST(Launchers, HaveAGroupThatLimitsOnlyCpuInVersionTwo) {
  const furnace::test::TemporaryDirectory mount;
  const std::filesystem::path group = mount.path() / "furnace-launchers/42";
  std::filesystem::create_directories(group);
  for (const auto& file : {mount.path() / "cgroup.subtree_control",
                           group.parent_path() / "cgroup.subtree_control", group / "cpu.max"})
    ASSERT_TRUE(write_file(file, ""));
  const Hierarchies unified{true, {{"cpu", mount.path()}}};
  const Cgroup made = take(Cgroup::make_for_launcher(unified, "42", 25));
  EXPECT_EQ(take(read_file(group / "cpu.max")), "25000 100000");
  EXPECT_EQ(made.cpu_percent(), 25U);
  EXPECT_EQ(take(read_file(group.parent_path() / "cgroup.subtree_control")), "+cpu ");
  ASSERT_TRUE(write_file(group / "cpu.max", "max 100000"));
  EXPECT_EQ(made.cpu_percent(), std::nullopt);
  EXPECT_TRUE(Cgroup::list(unified).empty()) << "it is none of the partitions' groups";
}

}  // namespace
}  // namespace furnace::sandbox
