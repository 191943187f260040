#include "guest/paging.h"

#include "guest/address_space.h"
#include "guest/flat_memory.h"
#include "support.h"

namespace furnace::guest {
namespace {

using test::FlatMemory;
using test::kGlobal;
using test::kLarge;
using test::kNx;
using test::kPresent;
using test::kUser;
using test::kWrite;

constexpr uint64_t kRoot = 0x10000;
constexpr Gva kKernelAddress{0xffffffff81234567};
constexpr PageTable kFour{{kRoot}, 4};
constexpr PageTable kFive{{kRoot}, 5};

TEST(Walk, FollowsFourLevelsToA4KPage) {
  FlatMemory memory(1 << 20);
  test::map(memory, kRoot, 4, kKernelAddress, 1, 0x5000 | kPresent | kWrite);
  const auto found = walk(memory, kFour, kKernelAddress);
  ASSERT_TRUE(found);
  EXPECT_EQ(found->gpa, Gpa{0x5567});
  EXPECT_EQ(found->page_size, 4096U);
  EXPECT_TRUE(found->writable);
  EXPECT_FALSE(found->user);
  EXPECT_TRUE(found->executable);
}

TEST(Walk, FollowsFiveLevels) {
  FlatMemory memory(1 << 20);
  const Gva high{0xff11000000001000};
  test::map(memory, kRoot, 5, high, 1, 0x7000 | kPresent | kNx);
  ASSERT_TRUE(walk(memory, kFive, high));
  EXPECT_FALSE(walk(memory, kFive, high)->executable);
  // The same address is not canonical with 4 levels.
  EXPECT_EQ(walk(memory, kFour, high).error().kind, FaultKind::NonCanonical);
}

TEST(Walk, KnowsLargePages) {
  FlatMemory memory(1 << 20);
  test::map(memory, kRoot, 4, kKernelAddress, 2, 0x40000000 | 0x1000 /* PAT */ | kLarge | kPresent);
  const auto two_megabytes = walk(memory, kFour, kKernelAddress);
  ASSERT_TRUE(two_megabytes);
  EXPECT_EQ(two_megabytes->gpa.value, 0x40000000 | (kKernelAddress.value & 0x1fffff));
  EXPECT_EQ(two_megabytes->page_size, 2U << 20);

  FlatMemory other(1 << 20);
  test::map(other, kRoot, 4, kKernelAddress, 3, 0x80000000 | kLarge | kPresent);
  const auto gigabyte = walk(other, kFour, kKernelAddress);
  ASSERT_TRUE(gigabyte);
  EXPECT_EQ(gigabyte->gpa.value, 0x80000000 | (kKernelAddress.value & 0x3fffffff));
}

TEST(Walk, ReportsWhyThereIsNoPage) {
  FlatMemory memory(1 << 20);
  EXPECT_EQ(walk(memory, kFour, kKernelAddress).error().kind, FaultKind::NotPresent);
  EXPECT_EQ(walk(memory, kFour, kKernelAddress).error().level, 4);

  test::map(memory, kRoot, 4, Gva{0x1000}, 1, 0x1234'0000'0000'0200);  // a swap entry
  EXPECT_EQ(walk(memory, kFour, Gva{0x1000}).error().kind, FaultKind::SwappedOut);

  memory.put(kRoot, uint64_t{0x7fff'ffff'f000} | kPresent);  // a table far outside RAM
  EXPECT_EQ(walk(memory, kFour, Gva{0x1000}).error().kind, FaultKind::TableOutsideRam);
}

TEST(Walk, FindsPagesThatTheProcessMayNotTouch) {
  FlatMemory memory(1 << 20);
  // Linux keeps a PROT_NONE page's frame number inverted, the present bit clear and the global bit set.
  const uint64_t frame = 0x9000;
  const uint64_t entry = (~frame & 0x000f'ffff'ffff'f000) | kGlobal | kUser | kWrite;
  test::map(memory, kRoot, 4, Gva{0x4000}, 1, entry);
  const auto found = walk(memory, kFour, Gva{0x4010});
  ASSERT_TRUE(found);
  EXPECT_TRUE(found->prot_none);
  EXPECT_EQ(found->gpa, Gpa{0x9010});
}

TEST(Walk, EndsOnTablesThatPointToThemselves) {
  FlatMemory memory(1 << 20);
  for (uint64_t i = 0; i < 512; ++i) memory.put(kRoot + i * 8, kRoot | kPresent | kWrite);
  const auto found = walk(memory, kFour, kKernelAddress);
  ASSERT_TRUE(found);
  EXPECT_EQ(found->gpa.value & ~0xfffULL, kRoot);
}

TEST(Canonical, CompletesTheSignExtensionForTheDepth) {
  EXPECT_EQ(canonical(Gva{0x0000ffff81234567}, 4), Gva{0xffffffff81234567});
  EXPECT_EQ(canonical(Gva{0x01ffffff81234567}, 5), Gva{0xffffffff81234567});
  EXPECT_EQ(canonical(Gva{0x01ffffff81234567}, 4), Gva{0xffffffff81234567}) << "cut off at 57 bits";
  EXPECT_EQ(canonical(Gva{0x1234ffff81234567}, 4), Gva{0x1234ffff81234567}) << "not an extension";
  EXPECT_EQ(canonical(Gva{0x00007fff12345678}, 4), Gva{0x00007fff12345678});
  EXPECT_EQ(canonical(kKernelAddress, 4), kKernelAddress);
}

TEST(KernelRoot, DropsPcidAndFlags) {
  const FlatMemory memory(1 << 20);
  EXPECT_EQ(kernel_root(memory, 0x8000'0000'0001'4abc), Gpa{0x14000});
}

TEST(KernelRoot, OfAUserTableUnderPtiIsThePageBefore) {
  FlatMemory memory(1 << 20);
  memory.put(0x14000, uint64_t{0x7000} | kPresent | uint64_t{1} << 63);  // the kernel may not run user code
  memory.put(0x15000, uint64_t{0x7000} | kPresent);
  memory.put(0x14ff8, uint64_t{0x8000} | kPresent);  // the kernel half, which the user table lacks
  EXPECT_EQ(kernel_root(memory, 0x15abc), Gpa{0x14000});
}

TEST(KernelRoot, WithoutPtiIsInAnyPage) {
  FlatMemory memory(1 << 20);
  memory.put(0x14000, uint64_t{0x9000} | kPresent);  // of another process
  memory.put(0x15000, uint64_t{0x7000} | kPresent);
  EXPECT_EQ(kernel_root(memory, 0x15000), Gpa{0x15000});
  EXPECT_EQ(kernel_root(memory, 0x17000), Gpa{0x17000}) << "both user halves are empty";
}

class AddressSpaceTest : public ::testing::Test {
 protected:
  void SetUp() override {
    test::map(memory_, kRoot, 4, Gva{0x1000}, 1, 0x5000 | kPresent);
    memory_.put(kRoot + 0x3000 + 2 * 8,
                uint64_t{0x9000} | kPresent);  // 0x2000, not contiguous in physical memory
    memory_.put(0x5ffc, 0x64636261);
    memory_.put(0x9000, 0x68676665);
  }
  FlatMemory memory_{1 << 20};
  TranslationCache cache_;
  AddressSpace space_{memory_, cache_, kFour};
};

TEST_F(AddressSpaceTest, ReadsAcrossPages) {
  EXPECT_EQ(space_.read<uint64_t>(Gva{0x1ffc}).value_or(0), 0x6867666564636261U);
}

TEST_F(AddressSpaceTest, AReadThatRunsIntoAMissingPageStopsThere) {
  std::array<std::byte, 16> buffer{};
  EXPECT_EQ(space_.read(Gva{0x2ff8}, buffer), 8U);
  const auto failed = space_.read<uint64_t>(Gva{0x2ffc});
  ASSERT_FALSE(failed);
  EXPECT_EQ(failed.error().message(), "virtual address 0x3000 is not mapped (level 1 entry is empty)");
}

TEST_F(AddressSpaceTest, WritesWhatItReads) {
  const uint64_t value = 0x1122334455667788;
  EXPECT_EQ(space_.write(Gva{0x1ffc}, std::as_bytes(std::span(&value, 1))), 8U);
  EXPECT_EQ(space_.read<uint64_t>(Gva{0x1ffc}).value_or(0), value);
}

TEST_F(AddressSpaceTest, StringsEndAtNulLimitOrHole) {
  EXPECT_EQ(space_.read_string(Gva{0x1ffc}, 4096).value_or(""), "abcdefgh");
  EXPECT_EQ(space_.read_string(Gva{0x1ffc}, 3).value_or(""), "abc");
  memory_.put(0x9fff, uint8_t{'x'});
  EXPECT_EQ(space_.read_string(Gva{0x2fff}, 4096).value_or(""), "x");
  EXPECT_FALSE(space_.read_string(Gva{0x3000}, 4096));
}

TEST_F(AddressSpaceTest, KeepsTranslationsUntilTheyAreDropped) {
  ASSERT_TRUE(space_.read<uint32_t>(Gva{0x2000}));
  memory_.put(kRoot + 0x3000 + 2 * 8, uint64_t{0});
  EXPECT_TRUE(space_.read<uint32_t>(Gva{0x2000}));
  cache_.forget();
  EXPECT_FALSE(space_.read<uint32_t>(Gva{0x2000}));
}

}  // namespace
}  // namespace furnace::guest
