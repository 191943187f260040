#include "base/helper_process.h"

#include <fcntl.h>
#include <sys/prctl.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>

namespace furnace {

void become_helper(const char* name, std::vector<int> kept) {
  ::setsid();
  ::prctl(PR_SET_NAME, name);  // NOLINT: variadic
  for (const int signal : {SIGINT, SIGTERM, SIGHUP, SIGPIPE})
    ::signal(signal, SIG_IGN);  // NOLINT: a macro of C
  std::sort(kept.begin(), kept.end());
  int from = STDERR_FILENO + 1;
  for (const int each : kept) {
    if (each > from) ::close_range(static_cast<unsigned>(from), static_cast<unsigned>(each) - 1, 0);
    from = std::max(from, each + 1);
  }
  ::close_range(static_cast<unsigned>(from), ~0U, 0);
  const int null = ::open("/dev/null", O_RDWR | O_CLOEXEC);
  for (int fd = 0; fd <= STDERR_FILENO; ++fd) ::dup2(null, fd);
  if (null > STDERR_FILENO) ::close(null);
}

}  // namespace furnace
