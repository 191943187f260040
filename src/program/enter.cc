// furnace-enter: the last step into a partition. Runs inside its view (bubblewrap has made it), gives up what
// is left, and becomes the partition's program. Usage: furnace-enter PLAN-DESCRIPTOR PROGRAM ARGS...; only
// the launcher calls it.
#include <fcntl.h>
#include <grp.h>
#include <linux/capability.h>
#include <linux/keyctl.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <ctime>

#include "sandbox/enter/landlock.h"
#include "sandbox/enter/plan.h"

// prctl and syscall are variadic, capset's structures are arrays of C.
// NOLINTBEGIN(cppcoreguidelines-pro-type-vararg,hicpp-vararg,cppcoreguidelines-avoid-c-arrays)
namespace {

using furnace::enter::Plan;
using furnace::enter::Step;

bool set_limit(__rlimit_resource resource, rlim_t value) {
  const rlimit limit{value, value};
  return ::setrlimit(resource, &limit) == 0;
}

/// Between the launcher's check and bubblewrap's bind another process could have exchanged a name.
bool shows_what_was_checked(const Plan& plan) {
  for (uint32_t i = 0; i < plan.bound_count; ++i) {
    struct stat status {};
    const Plan::Bound& bound = plan.bound.at(i);
    if (::stat(bound.place.data(), &status) != 0) return false;
    errno = ESTALE;
    if (status.st_dev != bound.device || status.st_ino != bound.inode) return false;
  }
  errno = 0;
  return true;
}

bool limit(const Plan& plan) {
  return set_limit(RLIMIT_NOFILE, plan.open_files) && set_limit(RLIMIT_FSIZE, plan.file_size) &&
         set_limit(RLIMIT_DATA, plan.private_memory) && set_limit(RLIMIT_CORE, 0) &&
         set_limit(RLIMIT_MEMLOCK, 0) && set_limit(RLIMIT_MSGQUEUE, 0) && set_limit(RLIMIT_RTPRIO, 0);
}

/// The launcher's session keyring is none of ours.
bool leave_keyring(const Plan& /*plan*/) {
  return ::syscall(SYS_keyctl, KEYCTL_JOIN_SESSION_KEYRING, nullptr) >= 0 || errno == ENOSYS;
}

/// Returns false if the launcher has exited: it reads what we print. (A shell of `--debug` prints elsewhere.)
bool has_launcher() {
  pollfd errors{STDERR_FILENO, 0, 0};
  return ::poll(&errors, 1, 0) <= 0 || (errors.revents & POLLERR) == 0;
}

bool enter_user_namespace(Plan& plan) {
  if (!plan.change_user) return true;
  if (::setgroups(0, nullptr) != 0 || ::unshare(CLONE_NEWUSER) != 0) return false;
  plan.phase.store(Plan::AwaitsUserMap, std::memory_order_release);
  constexpr timespec moment{0, 50'000};
  while (plan.phase.load(std::memory_order_acquire) != Plan::UserMapped) {
    if (!has_launcher()) return false;
    ::nanosleep(&moment, nullptr);
  }
  return true;
}

bool become_user(const Plan& plan) {
  if (!plan.change_user) return true;
  return ::setresgid(plan.group, plan.group, plan.group) == 0 &&
         ::setresuid(plan.user, plan.user, plan.user) == 0;
}

bool drop_capabilities(const Plan& /*plan*/) {
  // Without CAP_SETPCAP there is nothing that the bounding set could let in again: no_new_privs holds.
  for (int capability = 0; ::prctl(PR_CAPBSET_READ, capability) >= 0; ++capability)
    if (::prctl(PR_CAPBSET_DROP, capability) != 0 && errno != EPERM) return false;
  ::prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0);
  __user_cap_header_struct header{_LINUX_CAPABILITY_VERSION_3, 0};
  const __user_cap_data_struct none[2] = {};
  return ::syscall(SYS_capset, &header, none) == 0;
}

bool keep_no_privileges(const Plan& /*plan*/) {
  // A change of user forgets the signal that the end of our parent sends. The parent exits with the launcher,
  // which may have exited meanwhile.
  return ::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 && ::prctl(PR_SET_PDEATHSIG, SIGKILL) == 0 &&
         has_launcher();
}

/// Makes no system call between the filter and the execve.
bool filter(Plan& plan) {
  if (plan.filter_length == 0) return true;
  const sock_fprog program{static_cast<unsigned short>(plan.filter_length), plan.filter.data()};
  // Without the second flag a signal would interrupt a call that is being answered, and repeat it.
  const auto listener = static_cast<int>(
      ::syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER,
                SECCOMP_FILTER_FLAG_NEW_LISTENER | SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV, &program));
  if (listener < 0) return false;
  plan.listener.store(listener, std::memory_order_release);
  while (!plan.listener_taken.load(std::memory_order_acquire)) __builtin_ia32_pause();
  return true;
}

[[noreturn]] void give_up(Plan& plan, Step step) {
  plan.failed_step.store(static_cast<int>(step), std::memory_order_relaxed);
  plan.error.store(errno != 0 ? errno : EINVAL, std::memory_order_release);
  ::_exit(127);
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 3) return 2;
  const int number = std::atoi(argv[1]);
  void* const memory = ::mmap(nullptr, sizeof(Plan), PROT_READ | PROT_WRITE, MAP_SHARED, number, 0);
  if (memory == MAP_FAILED) return 2;
  ::close(number);
  auto& plan = *static_cast<Plan*>(memory);
  ::unsetenv("PWD");  // bubblewrap's; NOLINT(concurrency-mt-unsafe): no threads yet
  if (!shows_what_was_checked(plan)) give_up(plan, Step::View);
  if (!limit(plan)) give_up(plan, Step::Limits);
  if (!leave_keyring(plan)) give_up(plan, Step::Keyring);
  if (!enter_user_namespace(plan)) give_up(plan, Step::UserNamespace);
  if (!become_user(plan)) give_up(plan, Step::User);
  if (!furnace::enter::landlock(plan)) give_up(plan, Step::Landlock);
  if (!drop_capabilities(plan)) give_up(plan, Step::Capabilities);
  if (!keep_no_privileges(plan)) give_up(plan, Step::NoNewPrivileges);
  if (!filter(plan)) give_up(plan, Step::Filter);
  ::execv(argv[2], argv + 2);
  give_up(plan, Step::Execute);
}
// NOLINTEND(cppcoreguidelines-pro-type-vararg,hicpp-vararg,cppcoreguidelines-avoid-c-arrays)
