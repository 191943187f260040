// What operators forbid.
#include "vmi/calls/permissions.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "support.h"

namespace furnace::vmi {
namespace {

using furnace::test::message_of;
using furnace::test::take;
/// What a call needs, by the table of calls.
Status check_call(const Permissions& forbidden, std::string_view call) {
  return check_permitted(forbidden, protocol::find_call(call)->needs);
}

TEST(Forbidden, CountsForAllAppsOrForOne) {
  const Forbidden forbidden = take(Forbidden::parse({"write", "mine=pause,events"}));
  EXPECT_FALSE(check_call(forbidden.to("other"), "write_pa"));
  EXPECT_TRUE(check_call(forbidden.to("other"), "pause_vm"));
  for (const auto* call : {"write_8_va", "pause_vm", "event_register", "start_syscall"})
    EXPECT_FALSE(check_call(forbidden.to("mine"), call)) << call;
}

TEST(Forbidden, AnAppMayReadAndUndoWhateverIsForbidden) {
  const Permissions all = take(Forbidden::parse({"write,pause,events"})).to("mine");
  for (const auto* call : {"read_pa", "resume_vm", "event_clear", "status", "process_list", "stop_syscall"})
    EXPECT_TRUE(check_call(all, call)) << call;
}

TEST(Forbidden, EachCallThatWritesPausesOrWatchesNeedsItsPermission) {
  const Permissions all = take(Forbidden::parse({"write,pause,events"})).to("mine");
  std::vector<std::string_view> refused;
  for (const protocol::Call& call : protocol::calls())
    if (!check_call(all, call.name)) refused.push_back(call.name);
  EXPECT_EQ(
      std::count_if(refused.begin(), refused.end(), [](auto name) { return name.starts_with("write_"); }),
      std::count_if(protocol::calls().begin(), protocol::calls().end(),
                    [](const auto& call) { return call.name.starts_with("write_"); }));
  std::erase_if(refused, [](auto name) { return name.starts_with("write_"); });
  EXPECT_EQ(refused, (std::vector<std::string_view>{"event_register", "pause_vm", "start_syscall"}));
}

TEST(Forbidden, UnknownWordsAreReported) {
  EXPECT_NE(message_of(Forbidden::parse({"mine=write,fly"})).find("'fly' is none of write, pause, events"),
            std::string::npos);
  EXPECT_FALSE(Forbidden::parse({""}));
  EXPECT_FALSE(Forbidden::parse({"mine="}));
}

}  // namespace
}  // namespace furnace::vmi
