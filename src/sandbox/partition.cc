#include "sandbox/partition.h"

#include <poll.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <csignal>

#include "base/command.h"
#include "base/log.h"
#include "sandbox/entry.h"
#include "sandbox/launcher_group.h"
#include "sandbox/policy/violation_log.h"
#include "sandbox/reaper.h"
#include "sandbox/state.h"

namespace furnace::sandbox {
namespace {

using std::chrono::steady_clock;

constexpr int kBySignal = 128;
constexpr std::chrono::seconds kGrace(10);

class Run {
 public:
  Run(const Partition& partition, Entered entered, const std::optional<Cgroup>& group,
      const std::optional<LauncherGroup>& launchers, const std::optional<StateSocket>& state, Fd stop)
      : partition_(partition),
        entered_(std::move(entered)),
        group_(group),
        launchers_(launchers),
        state_(state),
        stop_(std::move(stop)),
        ended_(static_cast<int>(::syscall(SYS_pidfd_open, entered_.bubblewrap, 0))),
        program_(static_cast<int>(::syscall(SYS_pidfd_open, entered_.program, 0))) {
    if (entered_.listener.valid())
      supervisor_.emplace(std::move(entered_.listener), *partition.policy, entered_.program,
                          policy::CallSupervisor::Options{partition.audit, counting_observer(partition)});
    if (entered_.output.valid()) {
      output_.emplace(std::move(entered_.output), STDOUT_FILENO, partition.output);
      errors_.emplace(std::move(entered_.errors), STDERR_FILENO, partition.output);
    }
  }

  Result<PartitionEnd> to_its_end() {
    enum : size_t { kCalls, kStop, kEnded, kOutput, kErrors, kState };
    std::array<pollfd, 6> items{pollfd{supervisor_ ? supervisor_->descriptor() : -1, POLLIN, 0},
                                pollfd{stop_.get(), POLLIN, 0},
                                pollfd{ended_.get(), POLLIN, 0},
                                pollfd{-1, POLLIN, 0},
                                pollfd{-1, POLLIN, 0},
                                pollfd{state_ ? state_->descriptor() : -1, POLLIN, 0}};
    while (items[kEnded].fd >= 0 || is_open(output_) || is_open(errors_)) {
      const auto now = steady_clock::now();
      auto until = now + std::chrono::seconds(1);
      const bool at_once = items[kEnded].fd < 0;  // what is left in the pipes is all that comes
      items[kOutput].fd = descriptor_in_turn(output_, at_once ? steady_clock::time_point::max() : now, until);
      items[kErrors].fd = descriptor_in_turn(errors_, at_once ? steady_clock::time_point::max() : now, until);
      const auto time = std::chrono::ceil<std::chrono::milliseconds>(until - now);
      if (::poll(items.data(), items.size(), static_cast<int>(time.count())) < 0 && errno != EINTR)
        return fail_errno("poll");
      const auto ready = [&](size_t item) { return items.at(item).fd >= 0 && items.at(item).revents != 0; };
      if (ready(kCalls)) {
        FURNACE_CHECK(answer_call(items[kCalls]));
      }
      if (ready(kStop)) {
        items[kStop].fd = -1;  // a second signal ends us, and what we have started with us
        ask_to_end();
      }
      if (ready(kOutput)) output_->forward();
      if (ready(kErrors)) errors_->forward();
      tell_of_dropped();
      if (ready(kState)) state_->answer(state());
      if (ready(kEnded)) items[kEnded].fd = -1;
      if (kill_at_ && steady_clock::now() > *kill_at_) kill();
    }
    int status = 0;
    ::waitpid(entered_.bubblewrap, &status, 0);
    FURNACE_CHECK(entry_error(partition_, *entered_.plan));
    if (!end_.violation) end_.exit_code = exit_code_of(status);
    if (kill_at_ && (ended_early_ || end_.exit_code == kBySignal + SIGTERM)) end_.exit_code = 0;
    return end_;
  }

 private:
  static bool is_open(const std::optional<Output>& stream) { return stream && !stream->ended(); }

  /// What to poll for output; -1 while it is not its turn, which `until` is then no later than.
  static int descriptor_in_turn(const std::optional<Output>& stream, steady_clock::time_point now,
                                steady_clock::time_point& until) {
    if (!is_open(stream)) return -1;
    if (stream->next_turn() <= now) return stream->descriptor();
    until = std::min(until, stream->next_turn());
    return -1;
  }

  policy::CallSupervisor::Observer counting_observer(const Partition& partition) {
    auto observer =
        partition.observer ? partition.observer : policy::log_violations(partition.name, partition.audit);
    return [this, observer = std::move(observer)](const policy::Decided& decided) {
      if (decided.how != policy::Decided::How::Allowed) ++denied_;
      observer(decided);
    };
  }

  [[nodiscard]] PartitionState state() const {
    PartitionState state;
    state.name = partition_.name;
    state.launcher = ::getpid();
    state.program = entered_.program;
    state.established = supervisor_ && supervisor_->level() == policy::Level::Established;
    state.seconds = std::chrono::duration<double>(steady_clock::now() - started_).count();
    state.messages = partition_.messages.value();
    state.denied = denied_;
    state.left_out = left_out_;
    if (group_) state.usage = group_->usage();
    if (launchers_) state.usage.cpu_us += launchers_->cpu_us();
    return state;
  }

  Status answer_call(pollfd& item) {
    if ((item.revents & POLLIN) == 0) {
      item.fd = -1;  // no process is left under the filter
      return {};
    }
    FURNACE_TRY(const bool goes_on, supervisor_->handle());
    if (!ready_ && supervisor_->level() == policy::Level::Established) {
      ready_ = true;
      if (partition_.on_ready) partition_.on_ready();
    }
    if (goes_on) return {};
    end_ = {kBySignal + SIGSYS, true};
    item.fd = -1;
    kill();
    return {};
  }

  /// In order, once it is ready. Before that there is nothing to put in order, and the first
  /// process of a PID namespace gets no signal that it has no handler for yet.
  void ask_to_end() {
    kill_at_ = steady_clock::now() + kGrace;
    ended_early_ = supervisor_ && !ready_;
    signal(ended_early_ ? SIGKILL : SIGTERM);
  }

  /// The first process of a PID namespace takes all others with it.
  void kill() const { signal(SIGKILL); }

  /// By descriptor: once it has ended its number may be another's.
  void signal(int number) const { ::syscall(SYS_pidfd_send_signal, program_.get(), number, nullptr, 0); }

  void tell_of_dropped() {
    for (auto* stream : {&output_, &errors_}) {
      if (!*stream) continue;
      const uint64_t dropped = (*stream)->take_dropped();
      dropped_ += dropped;
      left_out_ += dropped;
    }
    constexpr std::chrono::seconds at_most_each(5);
    if (dropped_ == 0 || steady_clock::now() - told_ < at_most_each) return;
    log::warning("{}: prints too much: {} bytes were left out", partition_.name, std::exchange(dropped_, 0));
    told_ = steady_clock::now();
  }

  const Partition& partition_;
  Entered entered_;
  const std::optional<Cgroup>& group_;
  const std::optional<LauncherGroup>& launchers_;
  const std::optional<StateSocket>& state_;
  Fd stop_, ended_, program_;
  std::optional<policy::CallSupervisor> supervisor_;
  std::optional<Output> output_, errors_;
  std::optional<steady_clock::time_point> kill_at_;
  PartitionEnd end_;
  bool ready_ = false, ended_early_ = false;
  uint64_t dropped_ = 0, left_out_ = 0, denied_ = 0;
  steady_clock::time_point started_ = steady_clock::now();
  steady_clock::time_point told_{};
};

/// A group for this process, whose work for the partition has the same limit; without one it works on.
std::optional<LauncherGroup> launcher_group(const Partition& partition, const std::optional<Cgroup>& group) {
  if (!group) return std::nullopt;
  const auto host = Hierarchies::of_host();
  auto made =
      host ? LauncherGroup::make(*host, *group) : Result<LauncherGroup>(tl::unexpected<Error>(host.error()));
  if (made) return *std::move(made);
  log::warning("{}: what its launcher does for it is not limited: {}", partition.name,
               made.error().message());
  return std::nullopt;
}

Result<std::optional<Cgroup>> join_group(const Partition& partition) {
  if (partition.group.empty()) return std::nullopt;
  FURNACE_TRY(const Hierarchies host, Hierarchies::of_host());
  if (!partition.limits) {
    FURNACE_TRY(Cgroup given, Cgroup::open(host, partition.group));
    return given;
  }
  FURNACE_TRY(Cgroup made, Cgroup::make(host, partition.group, *partition.limits));
  return made;
}

}  // namespace

Result<PartitionEnd> run_partition(Partition partition, Fd stop) {
  FURNACE_TRY(const auto group, join_group(partition));
  const bool own_group = group && partition.limits;
  auto launchers = launcher_group(partition, group);
  std::optional<StateSocket> state;
  if (partition.listed) {
    if (auto bound = StateSocket::bind(partition.name)) {
      state.emplace(*std::move(bound));
      partition.leftovers.push_back(state->path());
    } else {
      log::warning("{}: `furnace top` won't show it: {}", partition.name, bound.error().message());
    }
  }
  const auto remove_leftovers = [&] {
    std::error_code ignored;
    for (const std::string& file : partition.leftovers) std::filesystem::remove(file, ignored);
    if (partition.tidy) partition.tidy();
  };
  const auto clean_up = [&] {
    if (own_group) (void)group->remove();
    if (launchers) launchers->remove();
    remove_leftovers();
  };
  FURNACE_TRY(const auto reaper, Reaper::start(clean_up));
  auto entered = enter_partition(partition, group, reaper);
  // Not before: its own start is not what the partition makes it do.
  if (launchers)
    if (const auto moved = launchers->enter(); !moved)
      log::warning("{}: what its launcher does for it is not limited: {}", partition.name,
                   moved.error().message());
  auto end = entered
                 ? Run(partition, *std::move(entered), group, launchers, state, std::move(stop)).to_its_end()
                 : Result<PartitionEnd>(tl::unexpected<Error>(entered.error()));
  if (launchers) launchers->remove();
  if (own_group) {
    if (const Usage usage = group->usage(); usage.oom_kills > 0 || usage.fork_failures > 0)
      log::warning("{}: over its limits: {} of its processes ended for want of memory, {} forks were refused",
                   partition.name, usage.oom_kills, usage.fork_failures);
    if (const auto removed = group->remove(); !removed) log::warning("{}", removed.error().message());
  }
  remove_leftovers();
  return end;
}

}  // namespace furnace::sandbox
