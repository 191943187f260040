#include "hypervisor/qemu/handles.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "hypervisor/qemu/stub.h"

namespace furnace::hypervisor {
namespace {

Error without_socket(const QemuProcess& process) {
  return {Errc::Unavailable,
          fmt::format("QEMU '{}' (pid {}) {}", process.name, process.pid,
                      process.libvirt_only
                          ? "has only libvirt's own QMP socket, which libvirt uses; add a second one to the "
                            "domain: <qemu:commandline><qemu:arg value='-qmp'/><qemu:arg "
                            "value='unix:PATH,server=on,wait=off'/>, or use virsh qemu-monitor-command to "
                            "add it"
                          : "has no QMP socket; start it with -qmp unix:PATH,server=on,wait=off")};
}

/// A process's number is its own for as long as its descriptor says that it lives.
Status check_alive(const QemuProcess& process, const Fd& pidfd) {
  pollfd ended{pidfd.get(), POLLIN, 0};
  if (::poll(&ended, 1, 0) == 0) return {};
  return fail(Errc::Unavailable, "QEMU '{}' (pid {}) has just ended", process.name, process.pid);
}

/// The process that listens, and not another one that took its path over, answers on the connection.
Status check_peer(const QemuProcess& process, const Qmp& qmp) {
  FURNACE_TRY(const Peer peer, peer_of(qmp.descriptor()));
  if (peer.process == process.pid) return {};
  return fail(Errc::Denied,
              "QMP socket {} is served by process {}, not by QEMU '{}' (pid {}): nothing is believed that "
              "comes from there",
              qmp.path().string(), peer.process, process.name, process.pid);
}

Result<QemuHandles> open_through(const std::filesystem::path& socket, QemuProcess process, Fd pidfd,
                                 RamAccess access) {
  FURNACE_TRY(Guard guard, Guard::start(socket, process.pid));
  FURNACE_TRY(Qmp qmp, Qmp::connect(socket));
  FURNACE_CHECK(check_peer(process, qmp));
  FURNACE_TRY(std::vector<RamPlace> places, find_ram(qmp));
  FURNACE_TRY(GuestRam ram, GuestRam::open(places, process.pid, pidfd, access));
  FURNACE_TRY(const bool freed, Stub::recover(qmp));
  if (freed) FURNACE_CHECK(guard.note_stub_closed());
  FURNACE_TRY(const QemuSetup setup, ask_for_setup(qmp));
  FURNACE_CHECK(check_alive(process, pidfd));
  return QemuHandles{std::move(process),
                     std::move(pidfd),
                     std::move(guard),
                     std::move(qmp),
                     std::move(places),
                     std::move(ram),
                     setup};
}

}  // namespace

Result<ProvenProcess> prove_process(const std::string& name) {
  FURNACE_TRY(QemuProcess process, find_qemu_process(name));
  Fd pidfd(static_cast<int>(::syscall(SYS_pidfd_open, process.pid, 0)));
  if (!pidfd.valid()) return fail_errno("pidfd of QEMU (pid {})", process.pid);
  // Looked at again: between the first look and the descriptor, the number may have become another's.
  FURNACE_TRY(const QemuProcess same, find_qemu_process(name));
  if (same.pid != process.pid) return fail(Errc::Unavailable, "QEMU '{}' has just been replaced", name);
  return ProvenProcess{std::move(process), std::move(pidfd)};
}

Result<QemuHandles> QemuHandles::open(const std::string& name, RamAccess access) {
  FURNACE_TRY(const ProvenProcess proven, prove_process(name));
  const QemuProcess& process = proven.process;
  if (process.qmp_sockets.empty()) return tl::unexpected<Error>(without_socket(process));

  // Several QMP sockets serve several clients: the first free one is ours.
  std::optional<Error> reason;
  for (const auto& socket : process.qmp_sockets) {
    Fd pidfd(::fcntl(proven.pidfd.get(), F_DUPFD_CLOEXEC, 0));  // NOLINT: variadic
    auto handles = open_through(socket, process, std::move(pidfd), access);
    if (handles) return handles;
    if (!reason || handles.error().code() != Errc::Unavailable) reason = handles.error();
  }
  return fail(*reason, fmt::format("QEMU '{}' (pid {})", name, process.pid));
}

}  // namespace furnace::hypervisor
