#include "hypervisor/software_breakpoints.h"

#include "support.h"

namespace furnace::hypervisor {
namespace {

using guest::Gpa;
using guest::Gva;

constexpr std::byte kInt3Byte{0xcc}, kOriginal{0x55}, kOtherCode{0x90};

/// A page that shows what is in it; the bytes under breakpoints as drivers' memory does.
class Page : public guest::GuestMemory {
 public:
  using GuestMemory::read;
  [[nodiscard]] size_t read(Gpa from, std::span<std::byte> out) const override {
    if (from.value >= bytes.size()) return 0;
    const size_t size = std::min<size_t>(out.size(), bytes.size() - from.value);
    std::copy_n(bytes.begin() + static_cast<ptrdiff_t>(from.value), size, out.begin());
    covered.apply(from, out.first(size));
    return size;
  }
  [[nodiscard]] size_t write(Gpa to, std::span<const std::byte> data) override {
    if (is_read_only || to.value >= bytes.size()) return 0;
    std::copy(data.begin(), data.end(), bytes.begin() + static_cast<ptrdiff_t>(to.value));
    return data.size();
  }
  [[nodiscard]] const std::vector<guest::GpaRange>& ranges() const override { return ranges_; }

  std::array<std::byte, 4096> bytes{};
  CoveredBytes covered;
  bool is_read_only = false;

 private:
  std::vector<guest::GpaRange> ranges_{{Gpa{0}, Gpa{4096}}};
};

class Breakpoints : public ::testing::Test {
 protected:
  Breakpoints() {
    page_.bytes.fill(kOriginal);
    EXPECT_TRUE(breakpoints_.set(1, at_));
    EXPECT_EQ(page_.bytes[at_.value], kInt3Byte);
  }
  bool check(const Status& may = {}) {
    return breakpoints_.check_in_place([&](uint64_t, Gpa, bool is_same) {
      was_same_ = is_same;
      return may;
    });
  }

  Page page_;
  std::map<uint64_t, std::optional<std::byte>> noted_;
  SoftwareBreakpoints breakpoints_{page_, page_.covered, [this](Gpa at, std::optional<std::byte> original) {
                                     noted_[at.value] = original;
                                     return Status();
                                   }};
  Gpa at_{64};
  std::optional<bool> was_same_;
};

TEST_F(Breakpoints, AreInPlaceUntilTheGuestWritesThere) {
  EXPECT_TRUE(check());
  EXPECT_EQ(page_.GuestMemory::read<std::byte>(at_), kOriginal) << "what apps read";
  page_.bytes[at_.value] = kOriginal;
  EXPECT_FALSE(check());
  EXPECT_EQ(was_same_, true);
  EXPECT_EQ(page_.bytes[at_.value], kInt3Byte);
  EXPECT_TRUE(check());
}

TEST_F(Breakpoints, AreSetOverNewCodeAndGiveItBack) {
  page_.bytes[at_.value] = kOtherCode;
  EXPECT_FALSE(check());
  EXPECT_EQ(was_same_, false);
  EXPECT_EQ(page_.bytes[at_.value], kInt3Byte);
  EXPECT_EQ(noted_[at_.value], kOtherCode) << "what the guard would put back";
  EXPECT_TRUE(breakpoints_.remove(1, at_));
  EXPECT_EQ(page_.bytes[at_.value], kOtherCode);
}

TEST_F(Breakpoints, AreLostOnceWhereTheyMayNotBeSetAgain) {
  page_.bytes[at_.value] = kOtherCode;
  EXPECT_FALSE(check(fail(Errc::Unmapped, "it is elsewhere now")));
  EXPECT_EQ(page_.bytes[at_.value], kOtherCode) << "another's code is left as it is";
  EXPECT_TRUE(check(fail(Errc::Unmapped, "it is elsewhere now")));
  EXPECT_TRUE(breakpoints_.remove(1, at_));
  EXPECT_EQ(page_.bytes[at_.value], kOtherCode);
}

TEST_F(Breakpoints, AreNotMissedWhileAnInstructionRunsInTheirPlace) {
  breakpoints_.lift(at_);
  EXPECT_EQ(page_.bytes[at_.value], kOriginal);
  EXPECT_TRUE(check());
  EXPECT_EQ(page_.bytes[at_.value], kOriginal);
  breakpoints_.put_back(at_);
  EXPECT_TRUE(check());
  EXPECT_EQ(page_.bytes[at_.value], kInt3Byte);
}

TEST_F(Breakpoints, AreCheckedSomeAtATimeAndAllInTheEnd) {
  for (uint64_t i = 0; i < 1000; ++i) EXPECT_TRUE(breakpoints_.set(2 + i, Gpa{1000 + i}));
  page_.bytes[1999] = kOriginal;
  int calls = 1;
  while (check()) ++calls;
  EXPECT_EQ(calls, 4) << "256 with each call";
  EXPECT_EQ(page_.bytes[1999], kInt3Byte);
}

TEST_F(Breakpoints, OfAProcessAreNotSetOverOtherCode) {
  const Result<guest::PageTable> none = fail(Errc::Failed, "no registers");
  EXPECT_EQ(test::message_of(may_set_again(page_, none, Gva{0x1000}, at_, true)), "no registers");
}

}  // namespace
}  // namespace furnace::hypervisor
