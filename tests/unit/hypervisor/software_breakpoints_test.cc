#include "hypervisor/software_breakpoints.h"

#include "support.h"

namespace furnace::hypervisor {
namespace {

using guest::Gpa;

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
  bool check() { return breakpoints_.check_in_place(); }

  Page page_;
  std::map<uint64_t, std::optional<std::byte>> noted_;
  SoftwareBreakpoints breakpoints_{page_, page_.covered, [this](Gpa at, std::optional<std::byte> original) {
                                     noted_[at.value] = original;
                                     return Status();
                                   }};
  Gpa at_{64};
};

TEST_F(Breakpoints, AreInPlaceUntilTheGuestWritesThere) {
  EXPECT_TRUE(check());
  EXPECT_EQ(page_.GuestMemory::read<std::byte>(at_), kOriginal) << "what apps read";
  page_.bytes[at_.value] = kOriginal;
  EXPECT_FALSE(check());
  EXPECT_EQ(page_.bytes[at_.value], kInt3Byte);
  EXPECT_TRUE(check());
}

TEST_F(Breakpoints, AreLostOnceWhereTheGuestHasOtherCode) {
  // Another instruction may have its middle there.
  page_.bytes[at_.value] = kOtherCode;
  EXPECT_FALSE(check());
  EXPECT_EQ(page_.bytes[at_.value], kOtherCode);
  EXPECT_EQ(page_.GuestMemory::read<std::byte>(at_), kOtherCode) << "what apps read";
  EXPECT_TRUE(check()) << "reported once";
  EXPECT_TRUE(breakpoints_.remove(1, at_));
  EXPECT_EQ(page_.bytes[at_.value], kOtherCode);
}

TEST_F(Breakpoints, AreLostWhereOnlyTheFirstByteIsTheSame) {
  page_.bytes[at_.value] = kOriginal;
  page_.bytes[at_.value + 3] = kOtherCode;
  EXPECT_FALSE(check());
  EXPECT_EQ(page_.bytes[at_.value], kOriginal);
}

TEST_F(Breakpoints, ThatAreLostAreSetAgainByTheNextWatch) {
  page_.bytes[at_.value] = kOtherCode;
  EXPECT_FALSE(check());
  EXPECT_TRUE(breakpoints_.set(2, at_));
  EXPECT_EQ(page_.bytes[at_.value], kInt3Byte);
  EXPECT_EQ(noted_[at_.value], kOtherCode) << "what the guard would put back";
  EXPECT_EQ(*breakpoints_.find(at_), (std::set<uint64_t>{1, 2}));
  EXPECT_TRUE(breakpoints_.remove(1, at_));
  EXPECT_TRUE(breakpoints_.remove(2, at_));
  EXPECT_EQ(page_.bytes[at_.value], kOtherCode);
}

TEST_F(Breakpoints, BesideEachOtherAreRecognized) {
  const Gpa next{at_.value + 1};
  EXPECT_TRUE(breakpoints_.set(2, next));
  page_.bytes[at_.value] = kOriginal;
  EXPECT_FALSE(check());
  EXPECT_EQ(page_.bytes[at_.value], kInt3Byte);
  EXPECT_EQ(page_.bytes[next.value], kInt3Byte);
}

TEST_F(Breakpoints, ThatCantBeWrittenAreLost) {
  page_.is_read_only = true;
  page_.bytes[at_.value] = kOriginal;
  EXPECT_FALSE(check());
  EXPECT_TRUE(check());
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

}  // namespace
}  // namespace furnace::hypervisor
