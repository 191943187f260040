#include "sandbox/reaper.h"

#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>

#include "base/helper_process.h"

namespace furnace::sandbox {
namespace {

/// What the pipe brings in place of a process group.
constexpr pid_t kDismissed = 0;

[[noreturn]] void wait_for_end(int pipe, const std::function<void()>& clean_up) {
  become_helper("furnace-reaper", {pipe});
  pid_t group = -1;
  for (;;) {
    pid_t word = 0;
    const ssize_t got = ::read(pipe, &word, sizeof word);
    if (got < 0 && errno == EINTR) continue;
    if (got != sizeof word) break;
    if (word == kDismissed) ::_exit(0);
    group = word;
  }
  // No other group gets its number as long as one process of it is left.
  if (group > 0) ::kill(-group, SIGKILL);
  clean_up();
  ::_exit(0);
}

}  // namespace

Result<Reaper> Reaper::start(const std::function<void()>& clean_up) {
  FURNACE_TRY(Pipe pipe, make_pipe());
  const pid_t pid = ::fork();
  if (pid < 0) return fail_errno("fork");
  if (pid == 0) wait_for_end(pipe.reading.get(), clean_up);
  return Reaper(std::move(pipe.writing), pid);
}

void Reaper::watch(pid_t group) const {
  [[maybe_unused]] const ssize_t told = ::write(pipe_.get(), &group, sizeof group);
}

Reaper::~Reaper() {
  if (!pipe_.valid()) return;
  watch(kDismissed);
  pipe_.close();
  ::waitpid(pid_, nullptr, 0);
}

}  // namespace furnace::sandbox
