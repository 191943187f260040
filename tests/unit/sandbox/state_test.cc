// What launchers tell of their partitions, and the counter that a partition shares with its launcher.
#include "sandbox/state.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include "base/message_counter.h"
#include "cli/top.h"
#include "support.h"

namespace furnace::sandbox {
namespace {

using furnace::test::message_of;
using furnace::test::take;

PartitionState some_state() {
  PartitionState state;
  state.name = "app mine";
  state.launcher = 11;
  state.program = 12;
  state.established = true;
  state.seconds = 1.5;
  state.messages = 300;
  state.denied = 2;
  state.usage.cpu_us = 500'000;
  state.usage.memory = 20 << 20;
  state.usage.memory_limit = 300 << 20;
  state.usage.processes = 3;
  return state;
}

TEST(PartitionState, ComesBackAsItWasSent) {
  const PartitionState before = some_state();
  const PartitionState after = take(parse_state(to_json(before)));
  EXPECT_EQ(to_json(after), to_json(before));
  EXPECT_EQ(after.name, "app mine");
  EXPECT_EQ(after.usage.memory_limit, 300U << 20);
}

TEST(PartitionState, ThatIsNoneIsRefused) {
  EXPECT_FALSE(parse_state("{}"));
  EXPECT_FALSE(parse_state("[1]"));
  EXPECT_FALSE(parse_state("\xff"));
  std::string wrong = to_json(some_state());
  wrong.replace(wrong.find("\"app mine\""), 10, "17");
  EXPECT_NE(message_of(parse_state(wrong)).find("not of this version"), std::string::npos);
}

TEST(StateSocket, HasAPathThatFits) {
  const furnace::test::TemporaryDirectory directory;
  const std::string long_path = directory.path() / std::string(90, 'x');
  for (const auto& [run, fits] : {std::pair(directory.path().string(), true), std::pair(long_path, false)}) {
    ::setenv("FURNACE_RUN", run.c_str(), 1);  // NOLINT: one thread
    const auto bound = StateSocket::bind("vmi /a file/of a guest" + std::string(200, 'y'));
    EXPECT_EQ(bound.has_value(), fits);
    if (!fits) {
      EXPECT_NE(message_of(bound).find("too long for a socket"), std::string::npos);
      continue;
    }
    EXPECT_EQ(bound->path().parent_path(), directory.path() / "partitions");
    EXPECT_TRUE(bound->path().filename().string().starts_with("vmi._a.file_of.a.guest"));
  }
  ::unsetenv("FURNACE_RUN");  // NOLINT: one thread
}

TEST(Top, ShowsRatesBetweenTwoLooks) {
  PartitionState now = some_state();
  const std::vector<PartitionState> before{now};
  now.messages += 100;
  now.usage.cpu_us += 1'000'000;
  const std::string table = cli::format_partitions(&before, {now}, 2);
  EXPECT_NE(table.find("50.0   20.0 of 300     3      50      2"), std::string::npos) << table;
  for (size_t line = 0; line < table.size(); line = table.find('\n', line) + 1)
    EXPECT_LE(table.find('\n', line) - line, 80U);
}

TEST(MessageCounter, IsSeenByItsReaderAndCannotBeMadeSmaller) {
  const MessageCounter reader = take(MessageCounter::make());
  Fd copy = take(reader.duplicate());
  EXPECT_NE(::ftruncate(copy.get(), 0), 0) << "its reader would be killed at the next look";
  const int descriptor = ::dup(copy.get());
  MessageCounter writer = take(MessageCounter::open(descriptor));
  writer.add();
  writer.add();
  EXPECT_EQ(reader.value(), 2U);
  MessageCounter nobody = take(MessageCounter::open(-1));
  nobody.add();
  EXPECT_EQ(nobody.value(), 0U);
}

}  // namespace
}  // namespace furnace::sandbox
