#include "sandbox/policy/arguments.h"

#include <fcntl.h>
#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "base/printable.h"
#include "guest/linux/syscalls.h"

namespace furnace::policy {
namespace {

struct Deciding {
  std::string_view call;
  uint32_t argument;
};
constexpr std::array kDeciding = {
    Deciding{"accept4", 3},      Deciding{"arch_prctl", 0},    Deciding{"bpf", 0},
    Deciding{"clock_getres", 0}, Deciding{"clock_gettime", 0}, Deciding{"clone", 0},
    Deciding{"dup3", 2},         Deciding{"epoll_ctl", 1},     Deciding{"eventfd2", 1},
    Deciding{"fadvise64", 3},    Deciding{"fcntl", 1},         Deciding{"flock", 1},
    Deciding{"futex", 1},        Deciding{"getrandom", 2},     Deciding{"getsockopt", 2},
    Deciding{"ioctl", 1},        Deciding{"keyctl", 0},        Deciding{"kill", 1},
    Deciding{"lseek", 2},        Deciding{"madvise", 2},       Deciding{"memfd_create", 1},
    Deciding{"mmap", 2},         Deciding{"mprotect", 2},      Deciding{"personality", 0},
    Deciding{"pipe2", 1},        Deciding{"prctl", 0},         Deciding{"prlimit64", 1},
    Deciding{"ptrace", 0},       Deciding{"rt_sigaction", 0},  Deciding{"rt_sigprocmask", 0},
    Deciding{"seccomp", 0},      Deciding{"setsockopt", 2},    Deciding{"shmctl", 1},
    Deciding{"shutdown", 1},     Deciding{"socket", 0},        Deciding{"socketpair", 0},
    Deciding{"tgkill", 2},       Deciding{"tkill", 1},         Deciding{"unshare", 0},
    Deciding{"umask", 0},
};

}  // namespace

std::optional<uint32_t> argument_named(std::string_view call, std::string_view name) {
  if (name.size() == 4 && name.starts_with("arg") && name[3] >= '0' && name[3] <= '5')
    if (call != "prctl") return static_cast<uint32_t>(name[3] - '0');
  const auto known_ones = guest::syscall_parameters(call);
  const auto parameters = known_ones.value_or(std::vector<guest::SyscallParameter>());
  const auto found = std::find_if(parameters.begin(), parameters.end(),
                                  [&](const guest::SyscallParameter& each) { return each.name == name; });
  if (found == parameters.end()) return std::nullopt;
  return static_cast<uint32_t>(found - parameters.begin());
}

std::optional<uint32_t> deciding_argument(std::string_view call) {
  const auto found = std::find_if(kDeciding.begin(), kDeciding.end(),
                                  [&](const Deciding& each) { return each.call == call; });
  if (found == kDeciding.end()) return std::nullopt;
  return found->argument;
}

uint64_t bits_of_argument(std::string_view call, uint32_t argument) {
  const auto known_ones = guest::syscall_parameters(call);
  const auto parameters = known_ones.value_or(std::vector<guest::SyscallParameter>());
  const bool wide =
      argument < parameters.size() ? parameters[argument].is_wide : deciding_argument(call) != argument;
  return wide ? UINT64_MAX : UINT32_MAX;
}

std::string describe_arguments(std::string_view call, const uint64_t (&arguments)[6], std::string_view path) {
  const auto known_ones = guest::syscall_parameters(call);
  const auto parameters = known_ones.value_or(std::vector<guest::SyscallParameter>());
  std::string text;
  const size_t count = known_ones ? parameters.size() : 6;
  for (size_t i = 0; i < count; ++i) {
    const std::string name = known_ones ? std::string(parameters[i].name) : fmt::format("arg{}", i);
    const bool is_path = i < parameters.size() && parameters[i].is_path;
    const uint64_t value = arguments[i];
    text += fmt::format("{}{}=", i != 0 ? ", " : "", name);
    if (name == "dirfd" && static_cast<int32_t>(value) == AT_FDCWD) {
      text += "AT_FDCWD";
    } else if (is_path && !path.empty()) {
      text += fmt::format("\"{}\"", printable(path));
    } else if (const auto number = static_cast<int64_t>(static_cast<int32_t>(value));
               number < 0 && number > -4096 && (value >> 32 == 0 || value >> 32 == UINT32_MAX)) {
      text += fmt::format("{}", number);
    } else {
      constexpr uint64_t small = 4096;
      text += value < small ? fmt::format("{}", value) : fmt::format("{:#x}", value);
    }
  }
  return text;
}

}  // namespace furnace::policy
