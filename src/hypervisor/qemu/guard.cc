#include "hypervisor/qemu/guard.h"

#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/helper_process.h"
#include "hypervisor/qemu/stub.h"

namespace furnace::hypervisor {
namespace {

/// What the guard was notified of last.
struct Charge {
  bool paused = false;
  bool held = false;  ///< by another program
  Fd stub;
  Stub::Clock::time_point closed{};  ///< when the stub was closed last
};

void take(Charge& charge, Guard::Note note, Fd descriptor) {
  using Note = Guard::Note;
  switch (note) {
    case Note::Paused:
    case Note::Resumed:
      charge.paused = note == Note::Paused;
      break;
    case Note::Held:
    case Note::NotHeld:
      charge.held = note == Note::Held;
      break;
    case Note::StubOpened:
      charge.stub = std::move(descriptor);
      break;
    case Note::StubClosed:
      charge.stub.close();
      charge.closed = Stub::Clock::now();
      break;
  }
}

void let_go(Charge& charge, const std::filesystem::path& qmp_socket, pid_t qemu) {
  const bool stub_open = charge.stub.valid();
  if (stub_open) {
    GdbRemote remote(std::move(charge.stub));
    (void)Stub::let_go(remote, !charge.held, Stub::By::Guard);
  }
  if (stub_open) charge.closed = Stub::Clock::now();
  if (!charge.paused && Stub::Clock::now() > charge.closed + Stub::kUnsettled) return;
  constexpr int tries = 20;  // the dead process's own connection may still be closing
  for (int i = 0; i < tries; ++i) {
    if (auto qmp = Qmp::connect(qmp_socket)) {
      if (peer_of(qmp->descriptor()).value_or(Peer{}).process != qemu) break;
      const bool stopped = charge.paused || stub_open;
      if (charge.held || !stopped || qmp->command("cont")) {
        if (!charge.held) Stub::settle_until(*qmp, charge.closed + Stub::kUnsettled);
        // Only now: who attaches after a guard that was killed sees by the device what is left to do.
        if (stub_open) Stub::remove_left(*qmp);
        break;
      }
    }
    ::usleep(50'000);
  }
}

[[noreturn]] void guard(int socket, const std::filesystem::path& qmp_socket, pid_t qemu) {
  become_helper("furnace-guard", {socket});
  Charge charge;
  const Fd own(socket);
  char note = 0;
  Fd descriptor;
  while (receive_with(own, note, descriptor))
    take(charge, static_cast<Guard::Note>(note), std::move(descriptor));
  let_go(charge, qmp_socket, qemu);
  ::_exit(0);
}

}  // namespace

Result<Guard> Guard::start(const std::filesystem::path& qmp_socket, pid_t qemu) {
  FURNACE_TRY(auto ends, socket_pair());
  const pid_t pid = ::fork();
  if (pid < 0) return fail_errno("fork");
  if (pid == 0) guard(ends.second.get(), qmp_socket, qemu);
  return Guard(std::move(ends.first), pid);
}

Guard::~Guard() {
  if (!socket_.valid()) return;
  socket_.close();
  if (pid_ > 0) ::waitpid(pid_, nullptr, 0);
}

Status Guard::tell(Note note, int descriptor) {
  const char byte = static_cast<char>(note);
  if (auto sent = send_with(socket_, {&byte, 1}, descriptor); !sent)
    return fail(sent.error(), "guard process");
  return {};
}

}  // namespace furnace::hypervisor
