#include "hypervisor/qemu/pause_guard.h"

#include <fcntl.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>

#include "hypervisor/qemu/qmp.h"

namespace furnace::hypervisor {
namespace {

void keep_only(int fd) {
  if (fd > 3) ::close_range(3, static_cast<unsigned>(fd) - 1, 0);
  ::close_range(static_cast<unsigned>(fd) + 1, ~0U, 0);
}

[[noreturn]] void guard(int pipe, const std::filesystem::path& qmp_socket) {
  ::setsid();
  ::prctl(PR_SET_NAME, "furnace-guard");
  for (const int signal : {SIGINT, SIGTERM, SIGHUP, SIGPIPE}) ::signal(signal, SIG_IGN);
  keep_only(pipe);
  // Standard streams belong to whoever started us: a guard that kept them would keep their pipes open.
  const int null = ::open("/dev/null", O_RDWR);
  for (int fd = 0; fd < 3; ++fd) ::dup2(null, fd);

  bool paused = false;
  char state = 0;
  while (::read(pipe, &state, 1) == 1) paused = state == 'p';
  if (paused) {
    constexpr int tries = 20;  // the dead process's own connection may still be closing
    for (int i = 0; i < tries; ++i) {
      auto qmp = Qmp::connect(qmp_socket);
      if (qmp && qmp->command("cont")) break;
      ::usleep(50'000);
    }
  }
  ::_exit(0);
}

}  // namespace

Result<PauseGuard> PauseGuard::start(const std::filesystem::path& qmp_socket) {
  int ends[2];
  if (::pipe2(ends, O_CLOEXEC) != 0) return fail_errno("pipe");
  Fd reading(ends[0]);
  Fd writing(ends[1]);
  const pid_t pid = ::fork();
  if (pid < 0) return fail_errno("fork");
  if (pid == 0) guard(reading.get(), qmp_socket);
  return PauseGuard(std::move(writing), pid);
}

PauseGuard::~PauseGuard() {
  if (!pipe_.valid()) return;
  pipe_.close();
  ::waitpid(pid_, nullptr, 0);
}

Status PauseGuard::tell(char state) {
  if (::write(pipe_.get(), &state, 1) != 1) return fail_errno("pause guard");
  return {};
}

}  // namespace furnace::hypervisor
