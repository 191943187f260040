// What operators forbid.
#include "vmi/calls/permissions.h"

#include <gtest/gtest.h>

#include "support.h"

namespace furnace::vmi {
namespace {

using furnace::test::message_of;
using furnace::test::take;
using protocol::Verb;

TEST(Forbidden, CountsForAllAppsOrForOne) {
  const Forbidden forbidden = take(Forbidden::parse({"write", "mine=pause,events"}));
  EXPECT_FALSE(check_permitted(forbidden.to("other"), Verb::WriteBytes));
  EXPECT_TRUE(check_permitted(forbidden.to("other"), Verb::PauseVm));
  for (const Verb verb : {Verb::WriteNumber, Verb::PauseVm, Verb::EventRegister, Verb::StartSyscall})
    EXPECT_FALSE(check_permitted(forbidden.to("mine"), verb));
  EXPECT_FALSE(check_sync_permitted(forbidden.to("mine")));
  EXPECT_TRUE(check_sync_permitted(forbidden.to("other")));
}

TEST(Forbidden, LetsEveryAppReadAndGiveBack) {
  const Permissions all = take(Forbidden::parse({"write,pause,events"})).to("mine");
  for (const Verb verb : {Verb::ReadBytes, Verb::ResumeVm, Verb::EventClear, Verb::Status, Verb::ProcessList})
    EXPECT_TRUE(check_permitted(all, verb));
}

TEST(Forbidden, WordsThatAreUnknownAreTold) {
  EXPECT_NE(message_of(Forbidden::parse({"mine=write,fly"})).find("'fly' is none of write, pause, events"),
            std::string::npos);
  EXPECT_FALSE(Forbidden::parse({""}));
  EXPECT_FALSE(Forbidden::parse({"mine="}));
}

}  // namespace
}  // namespace furnace::vmi
