// Walks of a list of tasks that changes between two pieces.
#include "guest/linux/task_walk.h"

#include <algorithm>

#include "crowd.h"
#include "support.h"

namespace furnace::guest {
namespace {

using furnace::test::crowd;
using furnace::test::message_of;
using furnace::test::take;

constexpr int kTasks = 200;
constexpr uint64_t kPrevious = 8;  // struct list_head
constexpr TaskWalk::Clock::time_point kAtOnce{};

class ListOfTasks : public ::testing::Test {
 protected:
  std::unique_ptr<hypervisor::Simulator> simulator_ = take(hypervisor::Simulator::make(crowd(kTasks)));
  Kernel kernel_ = *simulator_->kernel();
  TranslationCache cache_;
  LinuxGuest guest_ = take(LinuxGuest::make(kernel_, simulator_->memory(), cache_));
  std::vector<Process> all_ = take(guest_.processes()).processes;

  void put(Gva at, uint64_t value) {
    ASSERT_EQ(guest_.kernel_space().write(at, std::as_bytes(std::span(&value, 1))), sizeof value);
  }
  [[nodiscard]] Gva node(size_t index) const { return all_[index].task + guest_.layout().tasks; }
  /// As the kernel does it: the task's own pointers stay for readers under way.
  void unlink(size_t index) {
    put(node(index - 1), node(index + 1).value);
    put(node(index + 1) + kPrevious, node(index - 1).value);
  }
  /// The last that `listing`, which was begun, has visited: a piece is 32 tasks.
  static constexpr size_t kLast = 31;

  static Result<ProcessList> finish(ProcessListing& listing) {
    while (true)
      if (auto found = listing.step(kAtOnce)) return *std::move(found);
  }
  /// Of a list that is whole.
  static std::vector<int32_t> all_pids(ProcessListing& listing) {
    const ProcessList list = take(finish(listing));
    EXPECT_EQ(list.gap, "");
    return pids(list.processes);
  }
  [[nodiscard]] static std::vector<int32_t> pids(const std::vector<Process>& processes) {
    std::vector<int32_t> pids;
    for (const Process& process : processes) pids.push_back(process.pid);
    return pids;
  }
  [[nodiscard]] std::vector<int32_t> pids_without(size_t index) const {
    std::vector<int32_t> expected = pids(all_);
    expected.erase(expected.begin() + static_cast<ptrdiff_t>(index));
    return expected;
  }
};

TEST_F(ListOfTasks, IsTheSameInPiecesAndAtOnce) {
  ProcessListing listing(guest_);
  ASSERT_FALSE(listing.step(kAtOnce));
  EXPECT_GT(listing.size(), 0U);
  EXPECT_EQ(all_pids(listing), pids(all_));
  EXPECT_EQ(all_.size(), size_t{kTasks});
}

TEST_F(ListOfTasks, AWalkWhoseTaskEndedStartsAgain) {
  ProcessListing listing(guest_);
  ASSERT_FALSE(listing.step(kAtOnce));
  unlink(kLast);
  EXPECT_EQ(all_pids(listing), pids_without(kLast));
}

TEST_F(ListOfTasks, AWalkWhoseTaskBecameAnotherStartsAgain) {
  ProcessListing listing(guest_);
  ASSERT_FALSE(listing.step(kAtOnce));
  // Its memory is used for a new task, the last of the list: from there the walk would miss most.
  unlink(kLast);
  const Gva head = node(all_.size() - 1);
  const uint64_t end = take(guest_.kernel_space().read<uint64_t>(head));
  put(head, node(kLast).value);
  put(node(kLast) + kPrevious, head.value);
  put(node(kLast), end);
  put(Gva{end} + kPrevious, node(kLast).value);
  put(all_[kLast].task + guest_.layout().start_time, 123'456'789);
  std::vector<int32_t> expected = pids_without(kLast);
  expected.push_back(all_[kLast].pid);
  EXPECT_EQ(all_pids(listing), expected);
}

TEST_F(ListOfTasks, ATaskThatComesOrEndsElsewhereDoesNotDisturb) {
  ProcessListing listing(guest_);
  ASSERT_FALSE(listing.step(kAtOnce));
  unlink(kLast + 1);
  EXPECT_EQ(all_pids(listing), pids_without(kLast + 1));
}

TEST_F(ListOfTasks, ThatIsCutIsReadFromBothEnds) {
  put(node(50), 0x1234);
  ProcessListing listing(guest_);
  const ProcessList list = take(finish(listing));
  EXPECT_EQ(pids(list.processes), pids(all_));
  EXPECT_NE(list.gap.find("task list: task 51"), std::string::npos) << list.gap;
}

TEST_F(ListOfTasks, ThatIsCutTwiceLacksWhatIsBetween) {
  put(node(50), 0x1234);
  put(node(60) + kPrevious, 0x1234);
  ProcessListing listing(guest_);
  const ProcessList list = take(finish(listing));
  std::vector<int32_t> expected = pids(all_);
  expected.erase(expected.begin() + 51, expected.begin() + 60);
  EXPECT_EQ(pids(list.processes), expected);
  EXPECT_NE(list.gap, "");
}

TEST_F(ListOfTasks, InACircleGivesEachProcessOnce) {
  put(node(70), node(20).value);
  ProcessListing listing(guest_);
  const ProcessList list = take(finish(listing));
  EXPECT_EQ(pids(list.processes), pids(all_));
  EXPECT_NE(list.gap.find("circle"), std::string::npos) << list.gap;
}

TEST_F(ListOfTasks, ABrokenPointerCostsOneProcessOneFieldAndNoOtherIsTakenForRead) {
  put(all_[3].task + guest_.layout().cred, 0x1234);
  put(all_[7].task + guest_.layout().cred, 0x1234);
  put(all_[7].task + guest_.layout().real_parent, 0x1234);
  ProcessListing listing(guest_);
  const ProcessList list = take(finish(listing));
  EXPECT_EQ(pids(list.processes), pids(all_));
  EXPECT_EQ(list.gap, "");
  for (size_t i = 0; i < list.processes.size(); ++i)
    EXPECT_EQ(list.processes[i].unread, i == 3   ? kUserUnread
                                        : i == 7 ? kUserUnread | kParentUnread
                                                 : 0)
        << list.processes[i].problem;
}

TEST_F(ListOfTasks, ABrokenListIsSearchedFromBothEnds) {
  put(node(50), 0x1234);
  put(node(60) + kPrevious, 0x1234);
  for (const auto& [index, known] : {std::pair(10, true), std::pair(150, true), std::pair(55, false)}) {
    ProcessSearch search(guest_, Pid{all_[static_cast<size_t>(index)].pid});
    std::optional<Result<Process>> found;
    while (!found) found = search.step(kAtOnce);
    EXPECT_EQ(found->has_value(), known) << index;
    if (!known) {
      EXPECT_NE(message_of(*found).find("task list: task 51"), std::string::npos);
    }
  }
}

TEST_F(ListOfTasks, ThatChangesForeverIsGivenUp) {
  ProcessListing listing(guest_);
  std::optional<Result<ProcessList>> found;
  uint64_t time = 1;
  for (int pieces = 0; !found; ++pieces) {
    ASSERT_LT(pieces, 100);
    found = listing.step(kAtOnce);
    for (const Process& process : all_) put(process.task + guest_.layout().start_time, time);
    ++time;
  }
  EXPECT_NE(take(*std::move(found)).gap.find("changed after 32 tasks"), std::string::npos);
}

TEST_F(ListOfTasks, IsSearchedInPieces) {
  for (const size_t index : {size_t{0}, size_t{40}, all_.size() - 1}) {
    ProcessSearch search(guest_, Pid{all_[index].pid});
    std::optional<Result<Process>> found;
    size_t pieces = 0;
    for (; !found; ++pieces) found = search.step(kAtOnce);
    EXPECT_EQ(take(*found).task, all_[index].task);
    EXPECT_EQ(pieces, index / 32 + 1);
  }
  ProcessSearch search(guest_, Pid{9999});
  std::optional<Result<Process>> found;
  while (!found) found = search.step(kAtOnce);
  EXPECT_EQ(message_of(*found), "no process with pid 9999");
}

}  // namespace
}  // namespace furnace::guest
