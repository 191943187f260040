#include "hypervisor/qemu/visit.h"

#include <unistd.h>

#include <cstring>

#include "base/directories.h"
#include "hypervisor/qemu/brokered.h"
#include "hypervisor/qemu/handles.h"
#include "hypervisor/qemu/qemu.h"

namespace furnace::hypervisor {

std::filesystem::path broker_socket(pid_t qemu) {
  return run_directory() / "brokers" / std::to_string(qemu);
}

Result<std::unique_ptr<Hypervisor>> visit_qemu(const std::string& name) {
  FURNACE_TRY(const ProvenProcess proven, prove_process(name));
  const QemuProcess& process = proven.process;
  auto socket = connect_messages(broker_socket(process.pid));
  if (!socket) return fail(Errc::NotFound, "no broker has VM '{}': {}", name, socket.error().message());
  FURNACE_TRY(const Peer peer, peer_of(socket->get()));
  if (peer.user != ::geteuid())
    return fail(Errc::Denied, "{}: belongs to user {}", broker_socket(process.pid).string(), peer.user);
  const auto link = std::make_shared<const broker::Link>(*std::move(socket), name, "QEMU's connections");
  FURNACE_TRY(const auto reply, link->ask({.ask = broker::Ask::Describe}));
  broker::SentSetup sent;
  if (reply.items.size() < sizeof sent)
    return fail(Errc::Invalid, "VM '{}': its broker gives no answer", name);
  std::memcpy(&sent, reply.items.data(), sizeof sent);
  std::vector<RamPlace> places;
  for (const auto& ram : broker::items_of<broker::SentRam>(std::span(reply.items).subspan(sizeof sent)))
    places.push_back({{guest::Gpa{ram.start}, guest::Gpa{ram.end}}, ram.host});
  FURNACE_TRY(GuestRam memory, GuestRam::open(places, process.pid, proven.pidfd, RamAccess::Read));
  const QemuSetup setup{sent.vcpus, reply.answer.state == RunState::Running, sent.tcg != 0,
                        sent.loses_flags != 0};
  auto control = std::make_unique<BrokeredControl>(link, Fd(), setup, nullptr);
  return std::make_unique<Qemu>(process.name, process.pid, std::move(control), std::move(memory), setup);
}

}  // namespace furnace::hypervisor
