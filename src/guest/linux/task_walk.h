// The kernel's list of tasks, walked in pieces: on a large or hostile guest it takes long.
#pragma once

#include <chrono>
#include <optional>
#include <unordered_set>
#include <vector>

#include "guest/linux/tasks.h"

namespace furnace::guest {

/// A walk over the tasks after init_task that can be interrupted. The list of a running guest changes under
/// it: a walk that does not come back to its start can be tried again a few times.
class TaskWalk {
 public:
  using Clock = std::chrono::steady_clock;

  explicit TaskWalk(const LinuxGuest& guest) : guest_(guest) { start(); }

  /// Visits tasks until the end of the list, until `visit` (Gva task -> Result<bool>) returns false, or until
  /// a time; a few are always visited. Returns whether the walk is over.
  template <typename Visit>
  [[nodiscard]] Result<bool> proceed(Clock::time_point until, const Visit& visit);

  /// Starts again after `proceed` has failed; false if it was tried often enough.
  [[nodiscard]] bool try_again();
  /// Starts again at the other end of the list; false if it was there already.
  [[nodiscard]] bool turn_back();

  [[nodiscard]] const LinuxGuest& guest() const { return guest_; }

 private:
  /// What shows whether a task is still the one that was visited.
  struct Mark {
    int32_t tgid = 0;
    uint64_t start_ns = 0;
    bool operator==(const Mark&) const = default;
  };

  void start();
  [[nodiscard]] Result<Mark> mark() const;
  [[nodiscard]] Status check_place() const;
  [[nodiscard]] Result<bool> advance();

  LinuxGuest guest_;
  Gva head_, node_, landmark_;
  int count_ = 0, steps_to_landmark_ = 1, attempt_ = 1;
  bool backwards_ = false;
  std::optional<Mark> mark_;  // of the task where the walk was interrupted
};

/// Lists all processes but the idle task, in the order of the list, in pieces. A list that is broken
/// somewhere is read from its other end too: what is between two breaks is missing, and `gap` says so.
class ProcessListing {
 public:
  explicit ProcessListing(const LinuxGuest& guest) : walk_(guest) {}

  /// Continues until about `until`; nullopt: there is more to do.
  [[nodiscard]] std::optional<Result<ProcessList>> step(TaskWalk::Clock::time_point until);
  /// Bytes that it holds.
  [[nodiscard]] size_t size() const {
    return found_.processes.capacity() * sizeof(Process) + met_.size() * kBytesOfSet;
  }

 private:
  static constexpr size_t kBytesOfSet = 40;  // for each number, about

  [[nodiscard]] bool go_on_after(const Error& broken);
  [[nodiscard]] Result<ProcessList> finish();

  TaskWalk walk_;
  ProcessList found_;
  size_t from_the_end_ = 0;  // how many of them
  size_t problems_ = 0;
  std::unordered_set<uint64_t> met_;  // of a broken list
};

/// Finds the process with a pid, in pieces.
class ProcessSearch {
 public:
  ProcessSearch(const LinuxGuest& guest, Pid pid) : walk_(guest), pid_(pid) {}

  /// Continues until about `until`; nullopt: there is more to do.
  [[nodiscard]] std::optional<Result<Process>> step(TaskWalk::Clock::time_point until);

 private:
  TaskWalk walk_;
  Pid pid_;
  std::optional<Error> broken_;
};

template <typename Visit>
Result<bool> TaskWalk::proceed(Clock::time_point until, const Visit& visit) {
  constexpr int between_looks = 32;  // at the clock
  FURNACE_CHECK(check_place());
  while (true) {
    FURNACE_TRY(const bool at_end, advance());
    if (at_end) return true;
    const Gva task = node_ - guest_.layout().tasks;
    const Result<bool> wants_more = visit(task);
    if (!wants_more)
      return fail(wants_more.error(), fmt::format("task list: task {} at {:#x}", count_ - 1, task.value));
    if (!*wants_more) return true;
    if (count_ % between_looks != 0 || Clock::now() < until) continue;
    FURNACE_TRY(mark_, mark());
    return false;
  }
}

}  // namespace furnace::guest
