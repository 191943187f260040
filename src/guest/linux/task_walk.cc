#include "guest/linux/task_walk.h"

#include <utility>

namespace furnace::guest {
namespace {

constexpr int kMaxTasks = 128 << 10;  // four times the default pid_max, and 12 MB of results
constexpr int kWalks = 5;             // tries at a list that changes meanwhile
constexpr uint64_t kPrevious = 8;     // in struct list_head

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
  FURNACE_TRY(const uint64_t next, space.read<uint64_t>(node_));
  FURNACE_TRY(const uint64_t back, space.read<uint64_t>(Gva{next} + kPrevious));
  FURNACE_TRY(const Mark now, mark());
  if (Gva{back} != node_ || now != *mark_)
    return fail(Errc::Unavailable, "task list: changed after {} tasks while it was read", count_);
  return {};
}

/// To the next task; returns whether the list is at its end.
Result<bool> TaskWalk::advance() {
  if (count_ == kMaxTasks) return fail(Errc::Invalid, "task list: no end after {} tasks", kMaxTasks);
  const auto next = guest_.kernel_space().read<uint64_t>(node_);
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

std::optional<Result<std::vector<Process>>> ProcessListing::step(TaskWalk::Clock::time_point until) {
  const Result<bool> walked = walk_.proceed(until, [&](Gva task) -> Result<bool> {
    FURNACE_TRY(Process process, walk_.guest().process_of(task));
    found_.push_back(std::move(process));
    return true;
  });
  if (!walked) {
    if (!walk_.try_again()) return tl::unexpected<Error>(walked.error());
    found_.clear();
    return std::nullopt;
  }
  if (!*walked) return std::nullopt;
  if (found_.empty())
    return fail(
        Errc::Unavailable,
        "the kernel's list of tasks holds no process: the guest is still booting, or they are hidden");
  return std::move(found_);
}

std::optional<Result<Process>> ProcessSearch::step(TaskWalk::Clock::time_point until) {
  const LinuxGuest& guest = walk_.guest();
  std::optional<Gva> found;
  const Result<bool> walked = walk_.proceed(until, [&](Gva task) -> Result<bool> {
    FURNACE_TRY(const int32_t tgid, guest.kernel_space().read<int32_t>(task + guest.layout().tgid));
    if (tgid == number(pid_)) found = task;
    return !found;
  });
  if (!walked && !walk_.try_again()) return tl::unexpected<Error>(walked.error());
  if (!walked || !*walked) return std::nullopt;
  if (!found) return fail(Errc::NotFound, "no process with pid {}", number(pid_));
  return guest.process_of(*found);
}

}  // namespace furnace::guest
