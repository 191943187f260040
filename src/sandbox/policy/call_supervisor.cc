#include "sandbox/policy/call_supervisor.h"

#include <fmt/format.h>
#include <linux/audit.h>
#include <netinet/in.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cstring>

#include "base/printable.h"
#include "guest/linux/syscalls.h"
#include "sandbox/policy/arguments.h"
#include "sandbox/policy/bounded_connect.h"
#include "sandbox/policy/checked_exec.h"

namespace furnace::policy {
namespace {

constexpr uint32_t kX32 = 0x40000000;  // __X32_SYSCALL_BIT

// Linux 6.6, newer than Debian 12's headers (include/uapi/linux/seccomp.h).
constexpr unsigned long kSetFlags = _IOW('!', 4, uint64_t);  // SECCOMP_IOCTL_NOTIF_SET_FLAGS
constexpr uint64_t kSyncWakeUp = 1;                          // SECCOMP_USER_NOTIF_FD_SYNC_WAKE_UP

bool is_foreign(const seccomp_data& data) {
  return data.arch != AUDIT_ARCH_X86_64 || (static_cast<uint32_t>(data.nr) & kX32) != 0;
}

}  // namespace

struct CallSupervisor::Call {
  const seccomp_notif& notification;
  Target target;
  PathRequest request;
  std::string path, address;
  [[nodiscard]] const seccomp_data& data() const { return notification.data; }
  [[nodiscard]] uint32_t number() const { return static_cast<uint32_t>(notification.data.nr); }
  [[nodiscard]] std::array<uint64_t, 6> arguments() const {
    std::array<uint64_t, 6> copy{};
    std::copy(std::begin(data().args), std::end(data().args), copy.begin());
    return copy;
  }
};

std::string describe(const Decided& violation) {
  const std::string who = fmt::format("{} (pid {}, thread {})", printable(violation.program),
                                      violation.process, violation.thread);
  const int level = static_cast<int>(violation.level);
  if (violation.architecture != AUDIT_ARCH_X86_64 || (violation.number & kX32) != 0)
    return fmt::format("{}: system call {} of {}: only calls of 64-bit code are let through at all", who,
                       violation.number & ~kX32,
                       violation.architecture != AUDIT_ARCH_X86_64 ? "32-bit code" : "the x32 ABI");
  const std::string name = guest::syscall_name(violation.number);
  uint64_t arguments[6];  // NOLINT: as the kernel has them
  std::copy(violation.arguments.begin(), violation.arguments.end(), std::begin(arguments));
  const std::string missing =
      !violation.address.empty() ? fmt::format("'{} TEST_ARGS connect' with 'REG_PTR:address|{}'", level,
                                               printable(violation.address))
      : violation.path.empty()   ? fmt::format("'{} TRACE {}'", level, name)
                                 : fmt::format("'{} TEST_ARGS {}' with 'REG_PTR:exactpath|{}'", level, name,
                                               printable(violation.path));
  return fmt::format("{}: {}({}) is not allowed at level {}: there is no rule {}", who, name,
                     describe_arguments(name, arguments, violation.path), level, missing);
}

CallSupervisor::CallSupervisor(Fd listener, const Policy& policy, pid_t program, Options options)
    : listener_(std::move(listener)), policy_(policy), program_(program), options_(std::move(options)) {
  seccomp_notif_sizes sizes{};
  ::syscall(SYS_seccomp, SECCOMP_GET_NOTIF_SIZES, 0, &sizes);
  // The target and we take turns: the kernel need not look for another CPU. Older ones do without.
  ::ioctl(listener_.get(), kSetFlags, kSyncWakeUp);
  notification_.resize(std::max<size_t>(sizes.seccomp_notif, sizeof(seccomp_notif)));
}

Result<bool> CallSupervisor::handle() {
  std::fill(notification_.begin(), notification_.end(), std::byte{0});
  if (::ioctl(listener_.get(), SECCOMP_IOCTL_NOTIF_RECV, notification_.data()) != 0) {
    if (errno == ENOENT || errno == EINTR) return true;  // the thread died meanwhile
    return fail_errno("seccomp notification");
  }
  const auto& notification =
      *reinterpret_cast<const seccomp_notif*>(notification_.data());  // NOLINT: kernel's
  const uint64_t id = notification.id;
  const auto waits = [this, id] { return ::ioctl(listener_.get(), SECCOMP_IOCTL_NOTIF_ID_VALID, &id) == 0; };
  Call call{notification, Target(static_cast<pid_t>(notification.pid), waits), {}, {}, {}};
  return decide(call);
}

Result<bool> CallSupervisor::decide(Call& call) {
  static const Verdict nothing;
  if (is_foreign(call.data())) return deny(call, nothing);
  if (!started_ && call.target.thread() == program_ && call.number() == SYS_execve) {
    started_ = true;
    go_on(call);
    return true;
  }
  if (is_established(call)) return true;
  const Verdict& verdict = policy_.verdict(level_, call.number());
  if (verdict.allows(call.arguments())) {
    observe(call, Decided::How::Allowed);
    go_on(call);
    return true;
  }
  if (call.number() == SYS_connect && !verdict.addresses.empty()) return decide_connect(call, verdict);
  // An audit reports the path of the object as well.
  if (!verdict.paths.empty() || (options_.audit && path_call(call.number()) != nullptr))
    return decide_path(call, verdict);
  return deny(call, verdict);
}

/// Whether it is the attempt to open ESTABLISHED, which is answered.
bool CallSupervisor::is_established(Call& call) {
  const PathCall* by_path = path_call(call.number());
  if (by_path == nullptr || by_path->family != Family::Open) return false;
  std::string path;
  if (call.target.read_path(call.data().args[by_path->path], path) != 0 || path != "ESTABLISHED")
    return false;
  level_ = Level::Established;
  answer(call, -ENOENT);
  return true;
}

Result<bool> CallSupervisor::decide_path(Call& call, const Verdict& verdict) {
  const PathCall& by_path = *path_call(call.number());
  const int read = read_request(call.target, by_path, call.data(), call.request);
  if (read != 0) {
    if (call.target.waits()) answer(call, read);
    return true;
  }
  const auto identity = call.target.identity();
  if (!identity) return true;  // it has exited
  auto view = open_view(call.target, *identity, call.request.lookup.directory);
  if (!view || !call.target.waits()) return true;
  Found found;
  if (call.request.by_descriptor) {
    found.object = std::move(view->directory);
    if (!found.object.valid()) {
      answer(call, -EBADF);
      return true;
    }
    if (verdict.paths.empty()) return deny(call, verdict);
  } else {
    const AsTarget as_target(call.target, *identity);
    found = find(*view, call.request.lookup);
    call.path = found.path.empty() ? call.request.lookup.path : found.path;
  }
  // What is open already was tested when it was opened. What is executed is tested in any case.
  if (!call.request.by_descriptor && !verdict.allows_path(found.path)) return deny(call, verdict);
  if (by_path.family == Family::Execute) return execute(call, verdict);
  observe(call, Decided::How::Allowed);
  const Outcome outcome = [&] {
    const AsTarget as_target(call.target, *identity);
    return perform(call.request, found, call.data());
  }();
  if (!outcome.data.empty() && !call.target.write(outcome.to, outcome.data)) {
    answer(call, -EFAULT);
  } else {
    answer(call, outcome);
  }
  return true;
}

/// The address is in memory that another thread may change: we connect the program's socket to the one we
/// checked.
bool CallSupervisor::decide_connect(Call& call, const Verdict& verdict) {
  std::array<std::byte, sizeof(sockaddr_storage)> memory{};
  const size_t size = std::min<uint64_t>(call.data().args[2], memory.size());
  const std::span<std::byte> given(memory.data(), size);
  if (!call.target.read(call.data().args[1], given)) {
    answer(call, -EFAULT);
    return true;
  }
  const auto address = AddressTest::of(given);
  call.address = address ? address->text() : "";
  if (!address || !verdict.allows_address(*address)) return deny(call, verdict);
  const auto identity = call.target.identity();
  const Fd process(static_cast<int>(::syscall(SYS_pidfd_open, identity ? identity->process : -1, 0)));
  const Fd socket(
      static_cast<int>(::syscall(SYS_pidfd_getfd, process.get(), static_cast<int>(call.data().args[0]), 0)));
  if (!call.target.waits()) return true;
  observe(call, Decided::How::Allowed);
  if (!socket.valid()) {
    answer(call, -EBADF);
  } else {
    // It may not keep us, and with us the whole partition.
    answer(call, connect_at_once(socket.get(), given));
  }
  return true;
}

/// The kernel reads the path again, and may find another: what runs in the end is looked at before it does.
bool CallSupervisor::execute(Call& call, const Verdict& verdict) {
  CheckedExec checked(call.target.thread());
  if (!checked.attached()) return deny(call, verdict);
  observe(call, Decided::How::Allowed);
  go_on(call);
  const auto executed = checked.finish();
  if (!executed || verdict.allows_path(*executed)) {
    checked.release();
    return true;
  }
  call.path = *executed;
  observe(call, Decided::How::Violation);
  if (options_.audit) checked.release();
  return options_.audit;
}

/// False: the partition must end.
bool CallSupervisor::deny(Call& call, const Verdict& verdict) {
  if (verdict.error_number) {
    observe(call, Decided::How::Refused);
    answer(call, -*verdict.error_number);
    return true;
  }
  observe(call, Decided::How::Violation);
  if (options_.audit) go_on(call);
  return options_.audit;
}

void CallSupervisor::observe(const Call& call, Decided::How how) const {
  if (!options_.observer) return;
  Decided decided{how,           level_,           0,         call.target.thread(), {}, call.data().arch,
                  call.number(), call.arguments(), call.path, call.address};
  if (how == Decided::How::Violation) {
    const auto identity = call.target.identity();
    decided.process = identity ? identity->process : call.target.thread();
    decided.program = call.target.program();
    if (decided.path.empty())
      if (const PathCall* by_path = path_call(call.number()))
        (void)call.target.read_path(call.data().args[by_path->path], decided.path);
  }
  options_.observer(decided);
}

void CallSupervisor::go_on(const Call& call) const {
  seccomp_notif_resp response{};
  response.id = call.notification.id;
  response.flags = SECCOMP_USER_NOTIF_FLAG_CONTINUE;
  ::ioctl(listener_.get(), SECCOMP_IOCTL_NOTIF_SEND, &response);
}

void CallSupervisor::answer(const Call& call, int64_t value) const {
  seccomp_notif_resp response{};
  response.id = call.notification.id;
  if (value < 0) {
    response.error = static_cast<int32_t>(value);
  } else {
    response.val = value;
  }
  ::ioctl(listener_.get(), SECCOMP_IOCTL_NOTIF_SEND, &response);
}

void CallSupervisor::answer(const Call& call, const Outcome& outcome) const {
  if (!outcome.opened.valid()) return answer(call, outcome.value);
  seccomp_notif_addfd given{};
  given.id = call.notification.id;
  given.flags = SECCOMP_ADDFD_FLAG_SEND;
  given.srcfd = static_cast<uint32_t>(outcome.opened.get());
  given.newfd_flags = outcome.close_on_exec ? O_CLOEXEC : 0;
  if (::ioctl(listener_.get(), SECCOMP_IOCTL_NOTIF_ADDFD, &given) < 0) answer(call, -errno);  // EMFILE
}

}  // namespace furnace::policy
