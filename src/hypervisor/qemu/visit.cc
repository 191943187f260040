#include "hypervisor/qemu/visit.h"

#include <unistd.h>

#include <cstring>

#include "base/directories.h"
#include "base/helper_process.h"
#include "hypervisor/broker/link.h"
#include "hypervisor/qemu/handles.h"

namespace furnace::hypervisor {
namespace {

using broker::Answer;
using broker::Ask;
using broker::Link;

/// Passes requests on to the partition's broker, but for memory, which is read here.
class VisitService : public broker::Service {
 public:
  VisitService(Link link, std::unique_ptr<CopiedRam> ram, Mapping shared)
      : link_(std::move(link)), ram_(std::move(ram)), shared_(std::move(shared)) {}

  std::vector<int> descriptors() override { return {}; }
  void tell() override {}

  Answer answer(const broker::Request& request, std::span<const std::byte> asked,
                std::vector<std::byte>& items) override {
    if (request.ask == Ask::Read) return read(request, asked, items);
    auto reply = link_.ask(request);
    if (!reply) return broker::failed(reply.error());
    items = std::move(reply->items);
    return reply->answer;
  }

 private:
  Answer read(const broker::Request& request, std::span<const std::byte> asked,
              std::vector<std::byte>& items) {
    Answer answer;
    if (!ram_) return broker::failed({Errc::Invalid, "this guest's RAM is mapped, not copied"});
    const auto places = broker::items_of<broker::SentPlace>(asked);
    const auto out = shared_.writable_bytes();
    if (places.empty())
      answer.number =
          ram_->read(guest::Gpa{request.address}, out.first(std::min<uint64_t>(request.length, out.size())));
    for (const auto& place : places) {
      broker::SentCell cell;
      const auto bytes = std::span(cell.bytes).first(std::min<uint64_t>(place.length, cell.bytes.size()));
      cell.length = ram_->read(guest::Gpa{place.gpa}, bytes);
      broker::add(items, answer, cell);
    }
    return answer;
  }

  Link link_;
  std::unique_ptr<CopiedRam> ram_;
  Mapping shared_;
};

/// A VM as the broker describes it to its visitors.
struct Described {
  QemuSetup setup;
  std::vector<RamPlace> places;
};

Result<Described> describe(const Link& link, const std::string& name) {
  FURNACE_TRY(const auto reply, link.ask({.ask = Ask::Describe}));
  broker::SentSetup sent;
  if (reply.items.size() < sizeof sent)
    return fail(Errc::Invalid, "VM '{}': its broker gives no answer", name);
  std::memcpy(&sent, reply.items.data(), sizeof sent);
  Described described{
      {sent.vcpus, reply.answer.state == RunState::Running, sent.tcg != 0, sent.loses_flags != 0}, {}};
  for (const auto& ram : broker::items_of<broker::SentRam>(std::span(reply.items).subspan(sizeof sent)))
    described.places.push_back({{guest::Gpa{ram.start}, guest::Gpa{ram.end}}, ram.host});
  return described;
}

}  // namespace

std::filesystem::path broker_socket(pid_t qemu) {
  return run_directory() / "brokers" / std::to_string(qemu);
}

Result<Lent> lend_visit(const std::string& name, const std::function<Status()>& confine) {
  FURNACE_TRY(const ProvenProcess proven, prove_process(name));
  const QemuProcess& process = proven.process;
  auto socket = connect_messages(broker_socket(process.pid));
  if (!socket) return fail(Errc::NotFound, "no broker has VM '{}': {}", name, socket.error().message());
  FURNACE_TRY(const Peer peer, peer_of(socket->get()));
  if (peer.user != ::geteuid())
    return fail(Errc::Denied, "{}: belongs to user {}", broker_socket(process.pid).string(), peer.user);
  Link link(*std::move(socket), name, "QEMU's connections");
  FURNACE_TRY(const Described described, describe(link, name));
  FURNACE_TRY(GuestRam memory, GuestRam::open(described.places, process.pid, proven.pidfd, RamAccess::Read));
  GuestRam::Parts ram = std::move(memory).take_apart();
  FURNACE_TRY(auto requests, broker::connection());
  FURNACE_TRY(auto news, broker::connection());
  FURNACE_TRY(Fd shared_file, memory_shared_with_broker());
  FURNACE_TRY(Mapping shared, Mapping::whole_file(shared_file, true));
  FURNACE_TRY(Pipe lifetime, make_pipe());
  const pid_t pid = ::fork();
  if (pid < 0) return fail_errno("fork");
  if (pid == 0) {
    const auto* const copied = dynamic_cast<const ProcessRam*>(ram.copied.get());
    become_helper("furnace-visitor", {requests.first.get(), news.first.get(), link.descriptor(),
                                      copied != nullptr ? copied->descriptor() : -1, lifetime.writing.get()});
    if (confine()) {
      VisitService service(std::move(link), std::move(ram.copied), std::move(shared));
      broker::Looking looking(service);
      broker::serve(looking, requests.first);
    }
    ::_exit(0);
  }
  Lent lent = lent_qemu(process, described.setup, ram,
                        {std::move(requests.second), std::move(news.second), std::move(shared_file)});
  lent.ended = std::move(lifetime.reading);
  return lent;
}

}  // namespace furnace::hypervisor
