#include "sandbox/policy/path_calls.h"

#include <sys/syscall.h>

#include <algorithm>
#include <array>

namespace furnace::policy {
namespace {

constexpr std::array kCalls = {
    PathCall{"open", SYS_open, Family::Open, 0, -1},
    PathCall{"creat", SYS_creat, Family::Open, 0, -1},
    PathCall{"openat", SYS_openat, Family::Open, 1, 0},
    PathCall{"openat2", SYS_openat2, Family::Open, 1, 0},
    PathCall{"stat", SYS_stat, Family::Stat, 0, -1},
    PathCall{"lstat", SYS_lstat, Family::Stat, 0, -1},
    PathCall{"newfstatat", SYS_newfstatat, Family::Stat, 1, 0},
    PathCall{"statx", SYS_statx, Family::Stat, 1, 0},
    PathCall{"access", SYS_access, Family::Access, 0, -1},
    PathCall{"faccessat", SYS_faccessat, Family::Access, 1, 0},
    PathCall{"faccessat2", SYS_faccessat2, Family::Access, 1, 0},
    PathCall{"readlink", SYS_readlink, Family::ReadLink, 0, -1},
    PathCall{"readlinkat", SYS_readlinkat, Family::ReadLink, 1, 0},
    PathCall{"execve", SYS_execve, Family::Execute, 0, -1},
    PathCall{"execveat", SYS_execveat, Family::Execute, 1, 0},
};

}  // namespace

std::span<const PathCall> path_calls() {
  return kCalls;
}

const PathCall* path_call(uint32_t number) {
  const auto found =
      std::find_if(kCalls.begin(), kCalls.end(), [&](const PathCall& call) { return call.number == number; });
  return found != kCalls.end() ? &*found : nullptr;
}

}  // namespace furnace::policy
