// What the broker is asked for before it is needed, and how long that is as good as a read.
#include "hypervisor/qemu/read_ahead.h"

#include <gtest/gtest.h>

namespace furnace::hypervisor {
namespace {

using broker::SentCell;
using broker::SentPlace;
using Clock = ReadAhead::Clock;

SentPlace number_at(uint64_t gpa) {
  return {gpa, 8};
}

/// Reads places as the driver does, out of a memory where each holds the count of messages so far.
class Reader {
 public:
  uint64_t read(uint64_t gpa, Clock::time_point now = {}) {
    auto cell = ahead_.take(number_at(gpa), now);
    if (!cell) {
      auto plan = ahead_.plan(number_at(gpa));
      ++messages_;
      SentCell now_there;
      now_there.length = messages_;
      std::vector<SentCell> cells(plan.size(), now_there);
      cell = cells.front();
      ahead_.put(std::move(plan), std::move(cells), now);
    }
    return cell->length;
  }
  void forget() { ahead_.forget(); }
  [[nodiscard]] uint64_t messages() const { return messages_; }

 private:
  ReadAhead ahead_;
  uint64_t messages_ = 0;
};

TEST(ReadAhead, ASecondWalkTheSameWayTakesOneMessage) {
  Reader reader;
  for (uint64_t gpa = 0x1000; gpa <= 0x5000; gpa += 0x1000) (void)reader.read(gpa);
  EXPECT_EQ(reader.messages(), 5U);
  reader.forget();
  for (uint64_t gpa = 0x1000; gpa <= 0x5000; gpa += 0x1000) EXPECT_EQ(reader.read(gpa), 6U) << gpa;
}

TEST(ReadAhead, WhatWasReadAfterAnEarlierEndIsNotFetched) {
  Reader reader;
  (void)reader.read(0x1000);
  reader.forget();
  (void)reader.read(0x2000);
  reader.forget();
  (void)reader.read(0x1000);  // 0x2000 came after it, in another walk
  EXPECT_EQ(reader.messages(), 3U);
  EXPECT_EQ(reader.read(0x2000), 4U);
}

TEST(ReadAhead, NothingIsGivenOutTwice) {
  Reader reader;
  for (int i = 0; i < 2; ++i) {
    (void)reader.read(0x1000);
    (void)reader.read(0x2000);
    reader.forget();
  }
  (void)reader.read(0x1000);
  const uint64_t fetched = reader.read(0x2000);
  EXPECT_GT(reader.read(0x2000), fetched);
}

TEST(ReadAhead, WhatIsPassedOverIsDropped) {
  Reader reader;
  for (const uint64_t gpa : {0x1000, 0x2000, 0x3000}) (void)reader.read(gpa);
  reader.forget();
  (void)reader.read(0x1000);
  const uint64_t fetched = reader.read(0x3000);
  EXPECT_EQ(fetched, 4U);
  EXPECT_GT(reader.read(0x2000), fetched) << "it was read before what was given out";
}

TEST(ReadAhead, WhatIsRepeatedWithoutANoticeIsReadAgainAfterAMoment) {
  Reader reader;
  const Clock::time_point start{};
  for (int i = 0; i < 20; ++i) {
    const auto now = start + i * 2 * ReadAhead::kFresh;
    const uint64_t before = reader.messages();
    EXPECT_GT(reader.read(0x1000, now), before) << i;
  }
}

TEST(ReadAhead, OfAPlaceWithAnotherLengthNothingIsGiven) {
  ReadAhead ahead;
  ASSERT_FALSE(ahead.take({0x1000, 8}, {}));
  ahead.put({{0x1000, 8}, {0x2000, 8}}, std::vector<SentCell>(2), {});
  EXPECT_FALSE(ahead.take({0x2000, 4}, {}));
}

TEST(ReadAhead, RemembersNoMoreThanItsRing) {
  Reader reader;
  for (uint64_t gpa = 0; gpa < 20'000; ++gpa) (void)reader.read(gpa * 0x1000);
  reader.forget();
  const uint64_t before = reader.messages();
  (void)reader.read(0);  // forgotten long ago
  (void)reader.read(0x1000);
  EXPECT_EQ(reader.messages(), before + 2);
}

}  // namespace
}  // namespace furnace::hypervisor
