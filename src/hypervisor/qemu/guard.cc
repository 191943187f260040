#include "hypervisor/qemu/guard.h"

#include <fcntl.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>

#include "hypervisor/qemu/stub.h"

namespace furnace::hypervisor {
namespace {

void keep_only(int fd) {
  if (fd > 3) ::close_range(3, static_cast<unsigned>(fd) - 1, 0);
  ::close_range(static_cast<unsigned>(fd) + 1, ~0U, 0);
}

/// What the guard was told last.
struct Charge {
  bool paused = false;
  bool held = false;  ///< by somebody else
  Fd stub;
};

void note(Charge& charge, char state, Fd descriptor) {
  switch (state) {
    case 'p':
    case 'r':
      charge.paused = state == 'p';
      break;
    case 'h':
    case 'f':
      charge.held = state == 'h';
      break;
    case 's':
      charge.stub = std::move(descriptor);
      break;
    case 'e':
      charge.stub.close();
      break;
    default:
      break;
  }
}

void let_go(Charge& charge, const std::filesystem::path& qmp_socket) {
  const bool stub_open = charge.stub.valid();
  if (stub_open) {
    GdbRemote remote(std::move(charge.stub));
    constexpr int packets = 64;  // those that were on their way, then the answers
    if (remote.send_raw(charge.held ? Stub::kForget : Stub::kLetGo))
      for (int i = 0; i < packets; ++i)
        if (const auto answer = remote.receive(); !answer || *answer == (charge.held ? "1" : "OK")) break;
  }
  if (!charge.paused && !stub_open) return;
  constexpr int tries = 20;  // the dead process's own connection may still be closing
  for (int i = 0; i < tries; ++i) {
    if (auto qmp = Qmp::connect(qmp_socket)) {
      if (stub_open) (void)qmp->human("gdbserver none");
      if (charge.held || qmp->command("cont")) break;
    }
    ::usleep(50'000);
  }
}

[[noreturn]] void guard(int socket, const std::filesystem::path& qmp_socket) {
  ::setsid();
  ::prctl(PR_SET_NAME, "furnace-guard");
  for (const int signal : {SIGINT, SIGTERM, SIGHUP, SIGPIPE}) ::signal(signal, SIG_IGN);
  keep_only(socket);
  // Standard streams belong to whoever started us: a guard that kept them would keep their pipes open.
  const int null = ::open("/dev/null", O_RDWR);
  for (int fd = 0; fd < 3; ++fd) ::dup2(null, fd);

  Charge charge;
  const Fd own(socket);
  char state = 0;
  Fd descriptor;
  while (receive_with(own, state, descriptor)) note(charge, state, std::move(descriptor));
  let_go(charge, qmp_socket);
  ::_exit(0);
}

}  // namespace

Result<Guard> Guard::start(const std::filesystem::path& qmp_socket) {
  FURNACE_TRY(auto ends, socket_pair());
  const pid_t pid = ::fork();
  if (pid < 0) return fail_errno("fork");
  if (pid == 0) guard(ends.second.get(), qmp_socket);
  return Guard(std::move(ends.first), pid);
}

Guard::~Guard() {
  if (!socket_.valid()) return;
  socket_.close();
  if (pid_ > 0) ::waitpid(pid_, nullptr, 0);
}

Status Guard::tell(char state, int descriptor) {
  if (auto told = send_with(socket_, {&state, 1}, descriptor); !told)
    return fail(told.error(), "guard process");
  return {};
}

}  // namespace furnace::hypervisor
