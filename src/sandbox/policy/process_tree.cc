#include "sandbox/policy/process_tree.h"

#include <fmt/format.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <ctime>
#include <filesystem>

#include "base/file.h"
#include "base/text.h"

namespace furnace::policy {
namespace {

/// The children that the threads of a process made.
std::vector<pid_t> children(pid_t of) {
  std::vector<pid_t> found;
  std::error_code error;
  for (const auto& thread : std::filesystem::directory_iterator(fmt::format("/proc/{}/task", of), error)) {
    const auto list = read_file(thread.path() / "children");
    if (!list) continue;
    for (const std::string_view word : words(*list))
      if (const auto child = parse_number<pid_t>(word)) found.push_back(*child);
  }
  return found;
}

}  // namespace

void adopt_orphans() {
  ::prctl(PR_SET_CHILD_SUBREAPER, 1);  // NOLINT: variadic
}

std::vector<pid_t> descendants(pid_t of) {
  std::vector<pid_t> all = children(of);
  for (size_t i = 0; i < all.size(); ++i)
    for (const pid_t child : children(all[i])) all.push_back(child);
  return all;
}

void kill_descendants(pid_t keep) {
  constexpr timespec moment{0, 1'000'000};
  constexpr int tries = 10'000;
  for (int i = 0; i < tries; ++i) {
    const auto left = descendants(::getpid());
    bool others = false;
    for (const pid_t process : left) {
      ::kill(process, SIGKILL);
      others = others || process != keep;
    }
    if (!others) return;
    for (const pid_t process : left)
      if (process != keep) ::waitpid(process, nullptr, WNOHANG);
    ::nanosleep(&moment, nullptr);
  }
}

}  // namespace furnace::policy
