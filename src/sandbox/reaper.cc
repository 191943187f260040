#include "sandbox/reaper.h"

#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>

#include "base/helper_process.h"

namespace furnace::sandbox {
namespace {

constexpr char kDismissed = 'd';

[[noreturn]] void wait_for_end(int pipe, const std::function<void()>& clean_up) {
  become_helper("furnace-reaper", {pipe});
  char word = 0;
  while (::read(pipe, &word, 1) < 0 && errno == EINTR) {
  }
  if (word != kDismissed) clean_up();
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

Reaper::~Reaper() {
  if (!pipe_.valid()) return;
  [[maybe_unused]] const ssize_t told = ::write(pipe_.get(), &kDismissed, 1);
  pipe_.close();
  ::waitpid(pid_, nullptr, 0);
}

}  // namespace furnace::sandbox
