#include "guest/linux/syscalls.h"

#include <fmt/format.h>
#include <seccomp.h>

#include <algorithm>
#include <array>
#include <cstdlib>
#include <memory>

namespace furnace::guest {
namespace {

struct Row {
  std::string_view name;
  std::string_view parameters;  ///< separated by spaces; '@' before a path
};

// By name, as the manual pages (section 2) have it.
// clang-format off
constexpr std::array kRows = {
    Row{"accept", "sockfd addr addrlen"}, Row{"accept4", "sockfd addr addrlen flags"}, Row{"access", "@pathname mode"},
    Row{"alarm", "seconds"}, Row{"arch_prctl", "code addr"}, Row{"bind", "sockfd addr addrlen"},
    Row{"bpf", "cmd attr size"}, Row{"brk", "addr"}, Row{"chdir", "@path"}, Row{"chmod", "@pathname mode"},
    Row{"chown", "@pathname owner group"}, Row{"chroot", "@path"}, Row{"clock_gettime", "clockid tp"},
    Row{"clock_nanosleep", "clockid flags request remain"}, Row{"clone", "flags stack parent_tid child_tid tls"},
    Row{"clone3", "cl_args size"}, Row{"close", "fd"}, Row{"connect", "sockfd addr addrlen"},
    Row{"creat", "@pathname mode"}, Row{"delete_module", "name flags"}, Row{"dup", "oldfd"}, Row{"dup2", "oldfd newfd"},
    Row{"dup3", "oldfd newfd flags"}, Row{"epoll_wait", "epfd events maxevents timeout"},
    Row{"execve", "@pathname argv envp"}, Row{"execveat", "dirfd @pathname argv envp flags"}, Row{"exit", "status"},
    Row{"exit_group", "status"}, Row{"faccessat", "dirfd @pathname mode"}, Row{"faccessat2", "dirfd @pathname mode flags"},
    Row{"fchmodat", "dirfd @pathname mode"}, Row{"fchownat", "dirfd @pathname owner group flags"},
    Row{"fcntl", "fd cmd arg"}, Row{"finit_module", "fd param_values flags"}, Row{"flock", "fd operation"},
    Row{"fork", ""}, Row{"fstat", "fd statbuf"}, Row{"ftruncate", "fd length"},
    Row{"futex", "uaddr futex_op val timeout uaddr2 val3"}, Row{"getcwd", "buf size"}, Row{"getdents64", "fd dirp count"},
    Row{"getegid", ""}, Row{"geteuid", ""}, Row{"getgid", ""}, Row{"getpid", ""}, Row{"getppid", ""},
    Row{"getrandom", "buf buflen flags"}, Row{"gettid", ""}, Row{"getuid", ""},
    Row{"init_module", "module_image len param_values"}, Row{"ioctl", "fd request argp"}, Row{"kill", "pid sig"},
    Row{"lchown", "@pathname owner group"}, Row{"link", "@oldpath @newpath"}, Row{"listen", "sockfd backlog"},
    Row{"lseek", "fd offset whence"}, Row{"lstat", "@pathname statbuf"}, Row{"madvise", "addr length advice"},
    Row{"memfd_create", "name flags"}, Row{"mkdir", "@pathname mode"}, Row{"mkdirat", "dirfd @pathname mode"},
    Row{"mknod", "@pathname mode dev"}, Row{"mmap", "addr length prot flags fd offset"},
    Row{"mount", "@source @target filesystemtype mountflags data"}, Row{"mprotect", "addr len prot"},
    Row{"mremap", "old_address old_size new_size flags new_address"}, Row{"munmap", "addr length"},
    Row{"nanosleep", "req rem"}, Row{"newfstatat", "dirfd @pathname statbuf flags"}, Row{"open", "@pathname flags mode"},
    Row{"openat", "dirfd @pathname flags mode"}, Row{"openat2", "dirfd @pathname how size"}, Row{"pause", ""},
    Row{"pipe", "pipefd"}, Row{"pipe2", "pipefd flags"}, Row{"pivot_root", "@new_root @put_old"},
    Row{"poll", "fds nfds timeout"}, Row{"ppoll", "fds nfds tmo_p sigmask"}, Row{"prctl", "option arg2 arg3 arg4 arg5"},
    Row{"pread64", "fd buf count offset"}, Row{"process_vm_readv", "pid local_iov liovcnt remote_iov riovcnt flags"},
    Row{"process_vm_writev", "pid local_iov liovcnt remote_iov riovcnt flags"}, Row{"ptrace", "request pid addr data"},
    Row{"pwrite64", "fd buf count offset"}, Row{"read", "fd buf count"}, Row{"readlink", "@pathname buf bufsiz"},
    Row{"readlinkat", "dirfd @pathname buf bufsiz"}, Row{"readv", "fd iov iovcnt"},
    Row{"recvfrom", "sockfd buf len flags src_addr addrlen"}, Row{"recvmsg", "sockfd msg flags"},
    Row{"rename", "@oldpath @newpath"}, Row{"renameat", "olddirfd @oldpath newdirfd @newpath"},
    Row{"renameat2", "olddirfd @oldpath newdirfd @newpath flags"}, Row{"rmdir", "@pathname"},
    Row{"rt_sigaction", "signum act oldact sigsetsize"}, Row{"rt_sigprocmask", "how set oldset sigsetsize"},
    Row{"rt_sigreturn", ""}, Row{"sched_yield", ""}, Row{"select", "nfds readfds writefds exceptfds timeout"},
    Row{"sendmsg", "sockfd msg flags"}, Row{"sendto", "sockfd buf len flags dest_addr addrlen"}, Row{"setgid", "gid"},
    Row{"setns", "fd nstype"}, Row{"setresgid", "rgid egid sgid"}, Row{"setresuid", "ruid euid suid"},
    Row{"setreuid", "ruid euid"}, Row{"setsid", ""}, Row{"setuid", "uid"}, Row{"shutdown", "sockfd how"},
    Row{"socket", "domain type protocol"}, Row{"socketpair", "domain type protocol sv"}, Row{"stat", "@pathname statbuf"},
    Row{"statfs", "@path buf"}, Row{"statx", "dirfd @pathname flags mask statxbuf"}, Row{"symlink", "@target @linkpath"},
    Row{"symlinkat", "@target newdirfd @linkpath"}, Row{"tgkill", "tgid tid sig"}, Row{"truncate", "@path length"},
    Row{"umask", "mask"}, Row{"umount2", "@target flags"}, Row{"uname", "buf"}, Row{"unlink", "@pathname"},
    Row{"unlinkat", "dirfd @pathname flags"}, Row{"unshare", "flags"}, Row{"vfork", ""},
    Row{"wait4", "pid wstatus options rusage"}, Row{"waitid", "idtype id infop options rusage"}, Row{"write", "fd buf count"},
    Row{"writev", "fd iov iovcnt"},
};
// clang-format on
static_assert(std::is_sorted(kRows.begin(), kRows.end(),
                             [](const Row& a, const Row& b) { return a.name < b.name; }));

}  // namespace

std::string syscall_name(uint32_t number) {
  if (number <= INT32_MAX) {
    const std::unique_ptr<char, void (*)(void*)> name(
        seccomp_syscall_resolve_num_arch(SCMP_ARCH_X86_64, static_cast<int>(number)), std::free);
    if (name) return name.get();
  }
  return fmt::format("syscall_{}", number);
}

std::optional<uint32_t> syscall_number(const std::string& name) {
  const int number = seccomp_syscall_resolve_name_arch(SCMP_ARCH_X86_64, name.c_str());
  if (number < 0) return std::nullopt;
  return static_cast<uint32_t>(number);
}

std::optional<std::vector<SyscallParameter>> syscall_parameters(std::string_view name) {
  const auto row =
      std::lower_bound(kRows.begin(), kRows.end(), name,
                       [](const Row& each, std::string_view wanted) { return each.name < wanted; });
  if (row == kRows.end() || row->name != name) return std::nullopt;
  std::vector<SyscallParameter> parameters;
  for (std::string_view rest = row->parameters; !rest.empty();) {
    const size_t end = std::min(rest.find(' '), rest.size());
    const std::string_view word = rest.substr(0, end);
    const bool is_path = word.starts_with('@');
    parameters.push_back({word.substr(is_path ? 1 : 0), is_path});
    rest.remove_prefix(std::min(end + 1, rest.size()));
  }
  return parameters;
}

}  // namespace furnace::guest
