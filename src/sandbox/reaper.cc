#include "sandbox/reaper.h"

#include <fcntl.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <csignal>

namespace furnace::sandbox {
namespace {

constexpr char kDismissed = 'd';

[[noreturn]] void wait_for_end(int pipe, const std::function<void()>& clean_up) {
  ::setsid();
  ::prctl(PR_SET_NAME, "furnace-reaper");  // NOLINT: variadic
  for (const int signal : {SIGINT, SIGTERM, SIGHUP, SIGPIPE})
    ::signal(signal, SIG_IGN);  // NOLINT: a macro of C
  // Whoever waits for the ends of the launcher's pipes must not wait for us.
  const int null = ::open("/dev/null", O_RDWR | O_CLOEXEC);
  for (int fd = 0; fd < 3; ++fd) ::dup2(null, fd);
  if (pipe > 3) ::close_range(3, static_cast<unsigned>(pipe) - 1, 0);
  ::close_range(static_cast<unsigned>(pipe) + 1, ~0U, 0);
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
