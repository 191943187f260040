#include "sandbox/entry.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <csignal>
#include <cstring>
#include <new>

#include "base/command.h"
#include "base/file.h"
#include "base/places.h"
#include "base/text.h"
#include "sandbox/policy/filter.h"
#include "sandbox/rootfs.h"

namespace furnace::sandbox {
namespace {

using enter::Plan;
using std::chrono::milliseconds;
using std::chrono::steady_clock;

constexpr milliseconds kTimeToEnter(30'000);  // a loaded host makes namespaces slowly

struct SharedPlan {
  Fd file;
  std::shared_ptr<Plan> plan;
};

Result<SharedPlan> make_plan(const Partition& partition) {
  SharedPlan shared{Fd(::memfd_create("plan", MFD_CLOEXEC)), {}};
  if (!shared.file.valid() || ::ftruncate(shared.file.get(), sizeof(Plan)) != 0) return fail_errno("plan");
  void* const memory =
      ::mmap(nullptr, sizeof(Plan), PROT_READ | PROT_WRITE, MAP_SHARED, shared.file.get(), 0);
  if (memory == MAP_FAILED) return fail_errno("plan");
  shared.plan = {new (memory) Plan, [](Plan* plan) { ::munmap(plan, sizeof(Plan)); }};
  Plan& plan = *shared.plan;
  plan.change_user = partition.account.has_value();
  plan.open_files = partition.open_files;
  plan.file_size = partition.file_size;
  plan.private_memory = partition.private_memory;
  plan.confine_files = plan.confine_network = !partition.view.debug;
  for (const std::string& place : partition.writable) {
    if (plan.writable_count == plan.writable.size() || place.size() >= plan.writable[0].size())
      return fail(Errc::Invalid, "{}: too much to write to", partition.name);
    std::copy(place.begin(), place.end(), plan.writable.at(plan.writable_count++).begin());
  }
  for (const auto* binds : {&partition.view.binds, &partition.view.files})
    for (const View::Bind& bind : *binds) {
      if (bind.inode == 0) continue;  // of the host's programs, for a shell
      const std::string place = bind.place;
      if (plan.bound_count == plan.bound.size() || place.size() >= plan.bound[0].place.size())
        return fail(Errc::Invalid, "{}: too much to see", partition.name);
      Plan::Bound& bound = plan.bound.at(plan.bound_count++);
      std::copy(place.begin(), place.end(), bound.place.begin());
      bound.device = bind.device;
      bound.inode = bind.inode;
    }
  for (const uint16_t port : partition.ports) {
    if (plan.port_count == plan.ports.size())
      return fail(Errc::Invalid, "{}: too many ports", partition.name);
    plan.ports.at(plan.port_count++) = port;
  }
  if (partition.policy) {
    FURNACE_TRY(const auto filter, policy::compile(*partition.policy));
    std::copy(filter.begin(), filter.end(), plan.filter.begin());
    plan.filter_length = static_cast<uint32_t>(filter.size());
  }
  return shared;
}

void keep_open(int descriptor) {
  ::fcntl(descriptor, F_SETFD, 0);  // NOLINT: variadic
}

struct Streams {
  Fd input, output, errors;
};

[[noreturn]] void become_bubblewrap(const Partition& partition, const std::optional<Cgroup>& group,
                                    const Reaper& reaper, const std::vector<std::string>& command,
                                    const Streams& streams) {
  const auto give_up = [&](const std::string& why) {
    const std::string line = fmt::format("{}: {}\n", partition.name, why);
    [[maybe_unused]] const ssize_t written = ::write(STDERR_FILENO, line.data(), line.size());
    ::_exit(127);
  };
  if (group)
    if (const auto joined = group->add(::getpid()); !joined) give_up(joined.error().message());
  if (!partition.view.debug) {
    ::setpgid(0, 0);  // Ctrl-C is the launcher's to handle
    // bubblewrap's child waits for it at first, and does not exit with it. Reported from here, before the
    // execve closes our end of the reaper's pipe: the launcher may be killed at any moment.
    reaper.watch(::getpid());
  }
  if (streams.input.valid()) ::dup2(streams.input.get(), STDIN_FILENO);
  if (streams.output.valid()) ::dup2(streams.output.get(), STDOUT_FILENO);
  if (streams.errors.valid()) ::dup2(streams.errors.get(), STDERR_FILENO);
  for (const View::Content& content : partition.view.contents) keep_open(content.data.get());
  for (const Fd& handle : partition.handles) keep_open(handle.get());
  sigset_t none;
  ::sigemptyset(&none);
  ::sigprocmask(SIG_SETMASK, &none, nullptr);
  std::vector<char*> arguments;
  for (const std::string& each : command)
    arguments.push_back(const_cast<char*>(each.c_str()));  // NOLINT: execvp's
  arguments.push_back(nullptr);
  ::execvp(arguments.front(), arguments.data());
  give_up(fmt::format("bubblewrap: {}", errno_text(errno)));
  ::_exit(127);
}

/// What both sides need to hear of each other while the partition starts.
class Start {
 public:
  Start(const Partition& partition, Entered& entered, Plan& plan)
      : partition_(partition), entered_(entered), plan_(plan), end_(steady_clock::now() + kTimeToEnter) {}

  /// bubblewrap reports the number of the process that it has made: {"child-pid": 1234, ...}.
  Status read_program(const Fd& info) {
    std::string text;
    while (text.find('}') == std::string::npos) {
      pollfd item{info.get(), POLLIN, 0};
      std::array<char, 512> piece{};
      const int polled = ::poll(&item, 1, static_cast<int>(kTimeToEnter.count()));
      if (polled < 0 && errno == EINTR) continue;
      if (polled <= 0) break;
      const ssize_t got = ::read(info.get(), piece.data(), piece.size());
      if (got <= 0) break;
      text.append(piece.data(), static_cast<size_t>(got));
    }
    const size_t at = text.find("\"child-pid\":");
    const size_t digit = at == std::string::npos ? at : text.find_first_of("0123456789", at);
    std::string_view rest = std::string_view(text).substr(std::min(digit, text.size()));
    const auto program = take_number<pid_t>(rest);
    if (!program) return ended("bubblewrap made no namespace");
    entered_.program = *program;
    return {};
  }

  Status map_user() {
    if (!partition_.account) return {};
    FURNACE_CHECK(wait([&] { return plan_.phase.load(std::memory_order_acquire) == Plan::AwaitsUserMap; },
                       "it made no user namespace"));
    const auto write_map = [&](const char* file, uint32_t inside, uint32_t outside) -> Status {
      const auto path = fmt::format("/proc/{}/{}", entered_.program, file);
      FURNACE_TRY(const Fd map, open_file(path, O_WRONLY));
      const std::string line = fmt::format("{} {} 1\n", inside, outside);
      if (::write(map.get(), line.data(), line.size()) < 0) return fail_errno("{}", path);
      return {};
    };
    FURNACE_CHECK(write_map("uid_map", plan_.user, partition_.account->user));
    FURNACE_CHECK(write_map("gid_map", plan_.group, partition_.account->group));
    plan_.phase.store(Plan::UserMapped, std::memory_order_release);
    return {};
  }

  Status take_listener() {
    if (plan_.filter_length == 0) return {};
    FURNACE_CHECK(wait([&] { return plan_.listener.load(std::memory_order_acquire) != Plan::kNotYet; },
                       "its filter was not loaded"));
    const Fd process(static_cast<int>(::syscall(SYS_pidfd_open, entered_.program, 0)));
    if (!process.valid()) return fail_errno("pidfd_open");
    entered_.listener =
        Fd(static_cast<int>(::syscall(SYS_pidfd_getfd, process.get(), plan_.listener.load(), 0)));
    if (!entered_.listener.valid()) return fail_errno("pidfd_getfd");
    plan_.listener_taken.store(true, std::memory_order_release);
    return {};
  }

 private:
  template <typename Done>
  Status wait(const Done& done, const char* otherwise) {
    constexpr timespec moment{0, 50'000};
    while (!done()) {
      FURNACE_CHECK(entry_error(partition_, plan_));
      siginfo_t seen{};
      if (::waitid(P_PID, static_cast<id_t>(entered_.bubblewrap), &seen, WEXITED | WNOHANG | WNOWAIT) == 0 &&
          seen.si_pid != 0)
        return ended("bubblewrap ended");
      if (steady_clock::now() > end_)
        return fail(Errc::Failed, "{}: {} in {} s", partition_.name, otherwise, kTimeToEnter.count() / 1000);
      ::nanosleep(&moment, nullptr);
    }
    return {};
  }

  /// With what bubblewrap said.
  Status ended(const char* what) {
    FURNACE_CHECK(entry_error(partition_, plan_));
    std::string said;
    pollfd item{entered_.errors.get(), POLLIN, 0};
    std::array<char, 4096> piece{};
    constexpr int moment = 500;
    while (said.size() < piece.size() && item.fd >= 0 && ::poll(&item, 1, moment) > 0) {
      const ssize_t got = ::read(item.fd, piece.data(), piece.size());
      if (got <= 0) break;
      said.append(piece.data(), static_cast<size_t>(got));
    }
    while (said.ends_with('\n')) said.pop_back();
    return fail(Errc::Failed, "{}: {}{}{}", partition_.name, what, said.empty() ? "" : ": ", said);
  }

  const Partition& partition_;
  Entered& entered_;
  Plan& plan_;
  steady_clock::time_point end_;
};

}  // namespace

Status entry_error(const Partition& partition, const Plan& plan) {
  errno = plan.error.load(std::memory_order_acquire);
  if (errno == 0) return {};
  const auto step = static_cast<enter::Step>(plan.failed_step.load(std::memory_order_relaxed));
  if (step == enter::Step::Execute) return fail_errno("{}: {}", partition.name, partition.command.front());
  return fail_errno("{}: {}", partition.name, enter::kSteps.has(step) ? enter::kSteps[step] : "?");
}

Result<Entered> enter_partition(Partition& partition, const std::optional<Cgroup>& group,
                                const Reaper& reaper) {
  if (find_program("bwrap").empty())
    return fail(Errc::NotFound, "bwrap is missing: install the package bubblewrap");
  FURNACE_TRY(SharedPlan shared, make_plan(partition));
  FURNACE_TRY(auto info, make_pipe());
  Entered entered;
  entered.plan = shared.plan;
  Streams inside;
  if (!partition.view.debug) {
    FURNACE_TRY(auto output, make_pipe());
    FURNACE_TRY(auto errors, make_pipe());
    FURNACE_TRY(inside.input, open_file("/dev/null", O_RDONLY));
    entered.output = std::move(output.reading);
    entered.errors = std::move(errors.reading);
    inside.output = std::move(output.writing);
    inside.errors = std::move(errors.writing);
  }
  auto command = bubblewrap(partition.view, partition.account.has_value(), info.writing.get());
  command.insert(command.end(),
                 {partition.view.debug ? places::kEnterOfShell : kEnter, std::to_string(shared.file.get())});
  command.insert(command.end(), partition.command.begin(), partition.command.end());
  entered.bubblewrap = ::fork();
  if (entered.bubblewrap < 0) return fail_errno("fork");
  if (entered.bubblewrap == 0) {
    keep_open(info.writing.get());
    keep_open(shared.file.get());
    become_bubblewrap(partition, group, reaper, command, inside);
  }
  info.writing.close();
  inside = {};
  partition.handles.clear();
  Start start(partition, entered, *shared.plan);
  auto started = start.read_program(info.reading);
  if (started) started = start.map_user();
  if (started) started = start.take_listener();
  if (!started) {
    if (!partition.view.debug) ::kill(-entered.bubblewrap, SIGKILL);
    ::kill(entered.bubblewrap, SIGKILL);
    ::waitpid(entered.bubblewrap, nullptr, 0);
    return tl::unexpected<Error>(started.error());
  }
  return entered;
}

}  // namespace furnace::sandbox
