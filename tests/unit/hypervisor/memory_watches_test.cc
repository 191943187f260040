// What a vCPU's instruction does to watched memory, and INT3 in a guest's code: apart from any hypervisor.
#include "hypervisor/memory_watches.h"

#include "guest/flat_memory.h"
#include "hypervisor/software_breakpoints.h"
#include "support.h"

namespace furnace::hypervisor {
namespace {

using guest::Gpa;
using guest::Gva;
using guest::test::FlatMemory;
using guest::test::kPresent;
using guest::test::kWrite;

constexpr uint64_t kRoot = 0x10000;
constexpr guest::PageTable kTable{{kRoot}, 4};
constexpr Gva kCode{0xffffffff81000000}, kData{0xffffffff81001000}, kNextPage{0xffffffff81002000};
constexpr uint64_t kCodeAt = 0x5000, kDataAt = 0x7000, kNextPageAt = 0x9000;

class MemoryWatchesTest : public ::testing::Test {
 protected:
  MemoryWatchesTest() {
    guest::test::map(memory_, kRoot, 4, kCode, 1, kCodeAt | kPresent);
    guest::test::map(memory_, kRoot, 4, kData, 1, kDataAt | kPresent | kWrite);
    guest::test::map(memory_, kRoot, 4, kNextPage, 1, kNextPageAt | kPresent | kWrite);
  }

  /// The vCPU stands at these bytes, with the address in RBX and 8 bytes of 0x11 in RAX.
  Registers at(std::string_view code, Gva address) {
    for (size_t i = 0; i < code.size(); ++i) memory_.put(kCodeAt + i, code[i]);
    Registers registers;
    for (const auto& [reg, value] :
         {std::pair(Reg::Rip, kCode.value), std::pair(Reg::Rbx, address.value), std::pair(Reg::Cr3, kRoot),
          std::pair(Reg::Rax, uint64_t{0x1111111111111111}), std::pair(Reg::Cr4, uint64_t{0})})
      registers.set(reg, value);
    return registers;
  }
  void watch(uint64_t number, Gva address, uint64_t length, uint8_t access) {
    Watch watch;
    watch.kind = EventKind::MemoryAccess;
    watch.address = address;
    watch.length = length;
    watch.access = access;
    ASSERT_TRUE(watches_.add(number, watch, kTable));
  }

  FlatMemory memory_{1 << 20};
  std::map<uint64_t, uint8_t> forbidden_;
  MemoryWatches watches_{memory_, [this](uint64_t frame, uint8_t access) {
                           forbidden_[frame] = access;
                           return Status{};
                         }};
};

constexpr std::string_view kStore("\x48\x89\x03", 3);  // mov %rax,(%rbx)
constexpr std::string_view kLoad("\x48\x8b\x03", 3);   // mov (%rbx),%rax

TEST_F(MemoryWatchesTest, ForbidsWhatAnyWatchOfAFrameAsksFor) {
  watch(1, kData, 8, kAccessWrite);
  watch(2, Gva{kData.value + 100}, 8, kAccessRead);
  EXPECT_EQ(forbidden_[kDataAt >> 12], kAccessRead | kAccessWrite);
  watches_.remove(2);
  EXPECT_EQ(forbidden_[kDataAt >> 12], kAccessWrite);
  watches_.remove(1);
  EXPECT_EQ(forbidden_[kDataAt >> 12], 0);
  EXPECT_TRUE(watches_.empty());
}

TEST_F(MemoryWatchesTest, ReportsAWriteWithTheValueBeforeAndAfter) {
  watch(1, kData, 8, kAccessWrite);
  memory_.put(kDataAt, uint64_t{42});
  Registers registers = at(kStore, kData);
  auto coming = watches_.coming(0, registers, std::nullopt);
  memory_.put(kDataAt, uint64_t{43});
  registers.set(Reg::Rip, kCode.value + kStore.size());
  const auto told = watches_.finished(std::move(coming), registers);
  ASSERT_EQ(told.size(), 1U);
  EXPECT_EQ(told[0].address, kData);
  EXPECT_EQ(told[0].access, kAccessWrite);
  EXPECT_EQ(told[0].old_value, 42U);
  EXPECT_EQ(told[0].new_value, 43U);
}

TEST_F(MemoryWatchesTest, ReportsNothingOfAnInstructionThatRaisesAnException) {
  watch(1, kData, 8, kAccessWrite);
  Registers registers = at(kStore, kData);
  auto coming = watches_.coming(0, registers, std::nullopt);
  registers.set(Reg::Rip, 0xffffffff81fff000);
  EXPECT_TRUE(watches_.finished(std::move(coming), registers).empty());
}

TEST_F(MemoryWatchesTest, ReportsAnAccessThatOverlapsWatchedMemoryButNotItsNeighbours) {
  watch(1, Gva{kData.value + 4}, 4, kAccessWrite);
  EXPECT_EQ(watches_.coming(0, at(kStore, kData), std::nullopt).all.size(), 1U);
  EXPECT_TRUE(watches_.coming(0, at(kStore, Gva{kData.value + 8}), std::nullopt).all.empty());
  EXPECT_TRUE(watches_.coming(0, at(kLoad, kData), std::nullopt).all.empty()) << "a read is not watched";
}

TEST_F(MemoryWatchesTest, SeesTheSecondPageOfAnAccessThatCrossesIntoIt) {
  watch(1, kNextPage, 2, kAccessWrite);
  const auto coming = watches_.coming(0, at(kStore, Gva{kNextPage.value - 4}), std::nullopt);
  ASSERT_EQ(coming.all.size(), 1U);
  EXPECT_EQ(coming.all[0].gpa, Gpa{kNextPageAt});
  EXPECT_EQ(coming.all[0].bytes, 4U);
}

TEST_F(MemoryWatchesTest, TakesTheFaultsWordForAnInstructionItDoesNotKnow) {
  watch(1, kData, 8, kAccessWrite);
  const auto unknown = at("\xff\xff\xff", kData);
  const Fault fault{{kDataAt + 4}, kAccessWrite, false};
  ASSERT_EQ(watches_.coming(0, unknown, fault).all.size(), 1U);
  EXPECT_TRUE(watches_.coming(0, unknown, Fault{{kDataAt + 4}, kAccessWrite, true}).all.empty())
      << "a walk of page tables is the CPU's own";
}

TEST_F(MemoryWatchesTest, ReportsExecutionBeforeItHappens) {
  watch(7, kCode, 16, kAccessExecute);
  const auto registers = at(kStore, kData);
  const auto told = watches_.execution(0, registers, {{kCodeAt + 3}, kAccessExecute, false});
  ASSERT_EQ(told.size(), 1U);
  EXPECT_EQ(told[0].address, Gva{kCode.value + 3});
  EXPECT_TRUE(watches_.execution(0, registers, {{kCodeAt + 16}, kAccessExecute, false}).empty());
}

TEST_F(MemoryWatchesTest, RefusesMoreThanAMegabyteAndWhatIsNotThere) {
  Watch watch;
  watch.kind = EventKind::MemoryAccess;
  watch.address = kData;
  watch.length = (1 << 20) + 1;
  EXPECT_NE(test::message_of(watches_.add(1, watch, kTable)).find("at most 1048576"), std::string::npos);
  watch.length = 3 * guest::kPageSize;
  EXPECT_FALSE(watches_.add(1, watch, kTable));
  EXPECT_TRUE(watches_.empty());
}

class SoftwareBreakpointsTest : public MemoryWatchesTest {
 protected:
  CoveredBytes covered_;
  std::vector<std::pair<uint64_t, bool>> notes_;
  SoftwareBreakpoints breakpoints_{memory_, covered_, [this](Gpa at, std::optional<std::byte> original) {
                                     notes_.emplace_back(at.value, original.has_value());
                                     return Status{};
                                   }};
};

TEST_F(SoftwareBreakpointsTest, AreNotedBeforeTheyAreWrittenAndRemovedWithTheLastWatch) {
  const Gpa at{kCodeAt};
  memory_.put(kCodeAt, uint8_t{0x90});
  ASSERT_TRUE(breakpoints_.set(1, at));
  ASSERT_TRUE(breakpoints_.set(2, at));
  EXPECT_EQ(memory_.read<uint8_t>(at), 0xcc);
  std::array<std::byte, 1> shown{std::byte{0xcc}};
  covered_.apply(at, shown);
  EXPECT_EQ(shown[0], std::byte{0x90});
  ASSERT_TRUE(breakpoints_.remove(1, at));
  EXPECT_EQ(memory_.read<uint8_t>(at), 0xcc);
  ASSERT_TRUE(breakpoints_.remove(2, at));
  EXPECT_EQ(memory_.read<uint8_t>(at), 0x90);
  EXPECT_EQ(notes_, (std::vector<std::pair<uint64_t, bool>>{{kCodeAt, true}, {kCodeAt, false}}));
}

TEST_F(SoftwareBreakpointsTest, LeaveWhatTheGuestHasWrittenSince) {
  const Gpa at{kCodeAt};
  memory_.put(kCodeAt, uint8_t{0x90});
  ASSERT_TRUE(breakpoints_.set(1, at));
  breakpoints_.lift(at);
  EXPECT_EQ(memory_.read<uint8_t>(at), 0x90);
  memory_.put(kCodeAt, uint8_t{0x55});
  breakpoints_.put_back(at);
  EXPECT_EQ(memory_.read<uint8_t>(at), 0x55);
  ASSERT_TRUE(breakpoints_.remove(1, at));
  EXPECT_EQ(memory_.read<uint8_t>(at), 0x55);
}

TEST_F(SoftwareBreakpointsTest, ArePassedBySkippingANopOrByEmulatingTheCode) {
  EXPECT_EQ(in_place_of_int3(memory_, at("\x0f\x1f\x44\x00\x00", kData)).next, kCode.value + 5);
  const auto store = in_place_of_int3(memory_, at(kStore, kData));
  EXPECT_FALSE(store.next);
  EXPECT_EQ(store.code[1], std::byte{0x89});
}

}  // namespace
}  // namespace furnace::hypervisor
