// When a part may be started again.
#include "launch/run/restarts.h"

#include <gtest/gtest.h>

namespace furnace::launch {
namespace {

using namespace std::chrono_literals;

TEST(Restarts, AreSoManyAtMostWithinAnInterval) {
  Restarts restarts({.burst = 3, .interval_seconds = 10});
  const Clock::time_point start{};
  for (const auto at : {0s, 1s, 2s}) EXPECT_TRUE(restarts.count_start(start + at));
  EXPECT_FALSE(restarts.count_start(start + 9s));
  EXPECT_TRUE(restarts.count_start(start + 10s)) << "the first one is over";
  EXPECT_FALSE(restarts.count_start(start + 10s));
}

TEST(Restarts, HaveNoLimitWithoutAnInterval) {
  Restarts restarts({.burst = 1, .interval_seconds = 0});
  for (int i = 0; i < 100; ++i) EXPECT_TRUE(restarts.count_start(Clock::time_point{}));
}

TEST(Restarts, ComeLaterEachTimeUntilALifeIsLong) {
  Restarts restarts({});
  for (const auto delay : {500ms, 1000ms, 2000ms, 4000ms, 8000ms, 16'000ms, 30'000ms, 30'000ms})
    EXPECT_EQ(restarts.delay_after(1s), delay);
  EXPECT_EQ(restarts.delay_after(31s), 500ms);
  EXPECT_EQ(restarts.delay_after(1s), 1000ms);
  restarts.forgive();
  EXPECT_EQ(restarts.delay_after(1s), 500ms);
}

}  // namespace
}  // namespace furnace::launch
