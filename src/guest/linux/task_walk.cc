#include "guest/linux/task_walk.h"

#include <algorithm>
#include <utility>

namespace furnace::guest {
namespace {

constexpr int kMaxTasks = 128 << 10;          // four times the default pid_max, and 12 MB of results
constexpr size_t kProblems = 1000;            // that a list explains
constexpr int kWalks = 5;                     // tries at a list that changes meanwhile
constexpr uint64_t kNext = 0, kPrevious = 8;  // in struct list_head

}  // namespace

void TaskWalk::start() {
  head_ = guest_.init_task_ + guest_.layout().tasks;
  node_ = landmark_ = head_;
  count_ = 0;
  steps_to_landmark_ = 1;
  mark_.reset();
}

bool TaskWalk::try_again() {
  if (attempt_ == kWalks) return false;
  ++attempt_;
  guest_.cache_->forget();
  start();
  return true;
}

bool TaskWalk::turn_back() {
  if (backwards_) return false;
  backwards_ = true;
  start();
  return true;
}

Result<TaskWalk::Mark> TaskWalk::mark() const {
  const Gva task = node_ - guest_.layout().tasks;
  Mark made;
  FURNACE_TRY(made.tgid, guest_.kernel_space().read<int32_t>(task + guest_.layout().tgid));
  FURNACE_TRY(made.start_ns, guest_.kernel_space().read<uint64_t>(task + guest_.layout().start_time));
  return made;
}

/// A task that ended since would lead the walk out of the list, or to another place in it.
Status TaskWalk::check_place() const {
  if (!mark_) return {};
  const AddressSpace& space = guest_.kernel_space();
  FURNACE_TRY(const uint64_t next, space.read<uint64_t>(node_ + (backwards_ ? kPrevious : kNext)));
  FURNACE_TRY(const uint64_t back, space.read<uint64_t>(Gva{next} + (backwards_ ? kNext : kPrevious)));
  FURNACE_TRY(const Mark now, mark());
  if (Gva{back} != node_ || now != *mark_)
    return fail(Errc::Unavailable, "task list: changed after {} tasks while it was read", count_);
  return {};
}

/// To the next task; returns whether the list is at its end.
Result<bool> TaskWalk::advance() {
  if (count_ == kMaxTasks) return fail(Errc::Invalid, "task list: no end after {} tasks", kMaxTasks);
  const auto next = guest_.kernel_space().read<uint64_t>(node_ + (backwards_ ? kPrevious : kNext));
  if (!next) return fail(next.error(), fmt::format("task list after {} tasks", count_));
  node_ = {*next};
  if (node_ == head_) return true;
  // Brent's cycle detection: a list that was cut and joined elsewhere, or a hostile one, may never come back.
  if (node_ == landmark_)
    return fail(Errc::Invalid, "task list: runs in a circle at {:#x} after {} tasks", node_.value, count_);
  ++count_;
  if (--steps_to_landmark_ == 0) landmark_ = node_, steps_to_landmark_ = count_;
  return false;
}

std::optional<Result<ProcessList>> ProcessListing::step(TaskWalk::Clock::time_point until) {
  const Result<bool> walked = walk_.proceed(until, [&](Gva task) -> Result<bool> {
    // Where the two ends of a broken list meet.
    if (!found_.gap.empty() && !met_.insert(task.value).second) return false;
    FURNACE_TRY(Process process, walk_.guest().rest_of_process(task));
    if (process.unread != 0 && ++problems_ > kProblems) process.problem.clear();
    found_.processes.push_back(std::move(process));
    from_the_end_ += found_.gap.empty() ? 0 : 1;
    return true;
  });
  if (!walked && go_on_after(walked.error())) return std::nullopt;
  if (walked && !*walked) return std::nullopt;
  return finish();
}

/// Tries again while a list that changed may be whole the next time, and then from the other end.
bool ProcessListing::go_on_after(const Error& broken) {
  if (!found_.gap.empty()) return false;
  if (walk_.try_again()) {
    found_.processes.clear();
    problems_ = 0;
    return true;
  }
  found_.gap = broken.message();
  // A list in a circle has given some of them many times.
  std::erase_if(found_.processes, [&](const Process& each) { return !met_.insert(each.task.value).second; });
  return walk_.turn_back();
}

Result<ProcessList> ProcessListing::finish() {
  const auto from_the_end = found_.processes.end() - static_cast<ptrdiff_t>(from_the_end_);
  std::reverse(from_the_end, found_.processes.end());
  if (!found_.processes.empty()) return std::move(found_);
  if (!found_.gap.empty()) return fail(Errc::Unavailable, "{}", found_.gap);
  return fail(Errc::Unavailable,
              "the kernel's list of tasks holds no process: the guest is still booting, or they are hidden");
}

std::optional<Result<Process>> ProcessSearch::step(TaskWalk::Clock::time_point until) {
  const LinuxGuest& guest = walk_.guest();
  std::optional<Gva> found;
  const Result<bool> walked = walk_.proceed(until, [&](Gva task) -> Result<bool> {
    FURNACE_TRY(const int32_t tgid, guest.kernel_space().read<int32_t>(task + guest.layout().tgid));
    if (tgid == number(pid_)) found = task;
    return !found;
  });
  if (!walked) {
    if (walk_.try_again()) return std::nullopt;
    if (!broken_) broken_ = walked.error();
    if (walk_.turn_back()) return std::nullopt;
    return tl::unexpected<Error>(*broken_);
  }
  if (!*walked) return std::nullopt;
  // It may be where a broken list can't be read.
  if (!found && broken_) return tl::unexpected<Error>(*broken_);
  if (!found) return fail(Errc::NotFound, "no process with pid {}", number(pid_));
  FURNACE_TRY(Process process, guest.rest_of_process(*found));
  // Without it the kernel's memory would be taken for the process's.
  if ((process.unread & kMemoryUnread) != 0) return fail(Errc::Unmapped, "{}", process.problem);
  return process;
}

}  // namespace furnace::guest
