// Who holds the guest, without sockets: on a hypervisor that only counts.
#include "vmi/pauses.h"

#include "support.h"

namespace furnace::vmi {
namespace {

using furnace::test::message_of;
using hypervisor::RunState;
using std::chrono::milliseconds;
using std::chrono::seconds;

class CountingHypervisor : public hypervisor::Hypervisor {
 public:
  [[nodiscard]] std::string name() const override { return "counting"; }
  [[nodiscard]] uint32_t id() const override { return 1; }
  [[nodiscard]] hypervisor::AccessMode access_mode() const override { return hypervisor::AccessMode::File; }
  [[nodiscard]] guest::GuestMemory& memory() override { throw std::logic_error("pauses read no memory"); }
  [[nodiscard]] uint64_t memory_size() const override { return 0; }
  [[nodiscard]] uint32_t vcpus() const override { return 1; }
  [[nodiscard]] Result<std::optional<hypervisor::Registers>> registers(uint32_t) override {
    return std::nullopt;
  }
  [[nodiscard]] Status pause() override {
    if (fails) return fail(Errc::Unavailable, "no answer");
    paused = true;
    return {};
  }
  [[nodiscard]] Status resume() override {
    ++resumes;
    if (fails) return fail(Errc::Unavailable, "no answer");
    paused = false;
    return {};
  }
  [[nodiscard]] RunState state() const override { return paused ? RunState::Paused : RunState::Running; }

  bool paused = false, fails = false;
  int resumes = 0;
};

class PausesTest : public ::testing::Test {
 protected:
  using Resumed = Pauses::Resumed;

  PausesTest() {
    first_.identity = "first-r";
    second_.identity = "second-r";
    pauses_.set_watchdog(seconds(1), {{"second", seconds(5)}, {"patient", seconds(0)}});
  }
  void hold(Session& app) {
    pauses_.hold_for_event(app, [] { return true; });
  }
  void expect_in_time(Session& app) {
    const auto resumed = pauses_.resume(app);
    ASSERT_TRUE(resumed) << message_of(resumed);
    EXPECT_EQ(*resumed, Resumed::InTime);
  }
  void expect_too_late(Session& app) {
    const auto resumed = pauses_.resume(app);
    ASSERT_TRUE(resumed) << message_of(resumed);
    EXPECT_EQ(*resumed, Resumed::TooLate);
  }
  void expect_has_none(Session& app) {
    EXPECT_EQ(message_of(pauses_.resume(app)), "this app has not paused the VM");
  }
  /// The events whose watchdog has expired `time` from now, of all apps.
  uint32_t expired_after(milliseconds time) {
    uint32_t events = 0;
    for (const auto& each : pauses_.expire(Pauses::Clock::now() + time)) events += each.events;
    return events;
  }

  CountingHypervisor hypervisor_;
  Pauses pauses_{hypervisor_};
  Session first_, second_;
};

TEST_F(PausesTest, TheGuestIsPausedUntilTheLastPauseOfTheLastAppEnds) {
  ASSERT_TRUE(pauses_.pause(first_));
  ASSERT_TRUE(pauses_.pause(first_));
  ASSERT_TRUE(pauses_.pause(second_));
  expect_in_time(first_);
  expect_in_time(second_);
  EXPECT_TRUE(hypervisor_.paused);
  EXPECT_EQ(hypervisor_.resumes, 0);
  expect_in_time(first_);
  EXPECT_FALSE(hypervisor_.paused);
}

TEST_F(PausesTest, AnAppCanNotEndThePauseOfAnother) {
  expect_has_none(second_);
  ASSERT_TRUE(pauses_.pause(first_));
  expect_has_none(second_);
  EXPECT_TRUE(hypervisor_.paused);
  expect_in_time(first_);
  expect_has_none(first_);
}

TEST_F(PausesTest, APauseThatFailedIsNotCounted) {
  hypervisor_.fails = true;
  EXPECT_FALSE(pauses_.pause(first_));
  hold(first_);
  expect_has_none(first_);
  EXPECT_EQ(pauses_.next_deadline(), std::nullopt);
}

TEST_F(PausesTest, AResumeThatFailedEndsThePause) {
  ASSERT_TRUE(pauses_.pause(first_));
  hypervisor_.fails = true;
  EXPECT_EQ(message_of(pauses_.resume(first_)), "no answer");
  expect_has_none(first_);
}

TEST_F(PausesTest, NothingIsSentUnlessTheGuestIsPaused) {
  hypervisor_.fails = true;
  pauses_.hold_for_event(first_, []() -> bool { throw std::logic_error("sent"); });
  hypervisor_.fails = false;
  pauses_.hold_for_event(first_, [&] { return hypervisor_.paused; });
  EXPECT_TRUE(hypervisor_.paused) << "it was paused when the event was sent";
}

TEST_F(PausesTest, AnEventThatCouldNotBeSentHoldsNothing) {
  pauses_.hold_for_event(first_, [] { return false; });
  EXPECT_FALSE(hypervisor_.paused);
  EXPECT_EQ(pauses_.next_deadline(), std::nullopt);
  ASSERT_TRUE(pauses_.pause(second_));
  pauses_.hold_for_event(first_, [] { return false; });
  EXPECT_TRUE(hypervisor_.paused) << "another app holds the guest";
}

TEST_F(PausesTest, AnEventThatCouldNotBeSentDoesNotChangeTheWatchdogOfOthers) {
  hold(first_);
  const auto deadline = pauses_.next_deadline();
  pauses_.hold_for_event(first_, [] { return false; });
  EXPECT_EQ(pauses_.next_deadline(), deadline);
}

TEST_F(PausesTest, AResumeEndsThePauseOfAnEventFirst) {
  ASSERT_TRUE(pauses_.pause(first_));
  hold(first_);
  expect_in_time(first_);
  EXPECT_EQ(pauses_.next_deadline(), std::nullopt) << "the watchdog is not needed any more";
  EXPECT_EQ(expired_after(seconds(60)), 0U);
  EXPECT_TRUE(hypervisor_.paused) << "by the call";
  expect_in_time(first_);
  EXPECT_FALSE(hypervisor_.paused);
}

TEST_F(PausesTest, TheWatchdogEndsThePausesOfEventsAndCountsThem) {
  hold(first_);
  hold(first_);
  EXPECT_EQ(expired_after(milliseconds(500)), 0U);
  EXPECT_TRUE(hypervisor_.paused);
  EXPECT_EQ(expired_after(seconds(2)), 2U);
  EXPECT_FALSE(hypervisor_.paused);
  EXPECT_EQ(first_.counters.watchdog, 1U);
  EXPECT_EQ(pauses_.next_deadline(), std::nullopt);
  EXPECT_EQ(expired_after(seconds(3)), 0U) << "once";
}

TEST_F(PausesTest, ResumesOfEventsWhoseWatchdogHasExpiredAreTooLateAndChangeNothing) {
  hold(first_);
  hold(first_);
  ASSERT_EQ(expired_after(seconds(2)), 2U);
  ASSERT_TRUE(pauses_.pause(second_));
  expect_too_late(first_);
  expect_too_late(first_);
  expect_has_none(first_);
  EXPECT_TRUE(hypervisor_.paused) << "by the other app";
}

TEST_F(PausesTest, APauseThatIsHeldEndsBeforeAResumeIsTooLate) {
  hold(first_);
  ASSERT_EQ(expired_after(seconds(2)), 1U);
  ASSERT_TRUE(pauses_.pause(first_));
  expect_in_time(first_);
  EXPECT_FALSE(hypervisor_.paused);
  expect_too_late(first_);
}

TEST_F(PausesTest, TheWatchdogLeavesPausesOfCalls) {
  ASSERT_TRUE(pauses_.pause(first_));
  hold(first_);
  EXPECT_EQ(expired_after(seconds(2)), 1U);
  EXPECT_TRUE(hypervisor_.paused);
  expect_in_time(first_);
  EXPECT_FALSE(hypervisor_.paused);
}

TEST_F(PausesTest, EachAppHasItsOwnWatchdog) {
  hold(second_);
  hold(first_);
  const auto expired = pauses_.expire(Pauses::Clock::now() + seconds(2));
  ASSERT_EQ(expired.size(), 1U);
  EXPECT_EQ(expired[0].app, &first_);
  EXPECT_TRUE(hypervisor_.paused) << "for the app that has more time";
  EXPECT_EQ(expired_after(seconds(6)), 1U);
  EXPECT_FALSE(hypervisor_.paused);
}

TEST_F(PausesTest, AWatchdogOfZeroNeverExpires) {
  Session patient;
  patient.identity = "patient-r";
  hold(patient);
  EXPECT_EQ(pauses_.next_deadline(), std::nullopt);
  EXPECT_EQ(expired_after(std::chrono::hours(1)), 0U);
  EXPECT_TRUE(hypervisor_.paused);
  expect_in_time(patient);
  EXPECT_FALSE(hypervisor_.paused);
}

TEST_F(PausesTest, TheNextEventStartsTheWatchdogAgain) {
  hold(first_);
  const auto before = pauses_.next_deadline();
  hold(first_);
  EXPECT_GE(pauses_.next_deadline(), before);
  expect_in_time(first_);
  EXPECT_NE(pauses_.next_deadline(), std::nullopt) << "one event still holds the guest";
}

TEST_F(PausesTest, AnAppThatLeavesHoldsNothing) {
  ASSERT_TRUE(pauses_.pause(first_));
  hold(first_);
  ASSERT_TRUE(pauses_.pause(second_));
  pauses_.release(first_);
  EXPECT_TRUE(hypervisor_.paused) << "by the app that stays";
  EXPECT_EQ(pauses_.next_deadline(), std::nullopt);
  pauses_.release(second_);
  EXPECT_FALSE(hypervisor_.paused);
  EXPECT_EQ(hypervisor_.resumes, 1);
  pauses_.release(second_);
  EXPECT_EQ(hypervisor_.resumes, 1) << "an app that holds nothing resumes nothing";
}

TEST_F(PausesTest, AnAppThatReturnsOwesNoResume) {
  hold(first_);
  ASSERT_EQ(expired_after(seconds(2)), 1U);
  pauses_.release(first_);
  expect_has_none(first_);
}

}  // namespace
}  // namespace furnace::vmi
