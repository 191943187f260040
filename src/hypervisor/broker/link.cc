#include "hypervisor/broker/link.h"

namespace furnace::hypervisor::broker {

Error Link::gone() const {
  return {Errc::Unavailable, fmt::format("VM '{}': the process that holds {} has ended", vm_, holds_)};
}

Result<Link::Reply> Link::ask(Request request, std::span<const std::byte> items) const {
  Reply reply;
  if (!send_message(socket_, bytes_of(request), items)) return tl::unexpected<Error>(gone());
  const auto received = room_.receive(socket_, bytes_of(reply.answer));
  if (!received) return tl::unexpected<Error>(gone());
  reply.items.assign(received->begin(), received->end());
  if (reply.answer.failed != 0) return fail(reply.answer.code, "{}", reply.answer.why.data());
  return reply;
}

Status Link::tell(Request request) const {
  if (!send_message(socket_, bytes_of(request), {})) return tl::unexpected<Error>(gone());
  return {};
}

Status Link::done(Request request) const {
  FURNACE_TRY([[maybe_unused]] const Reply reply, ask(request));
  return {};
}

Result<Registers> Link::registers(uint32_t vcpu, Ask which) const {
  FURNACE_TRY(const Reply reply, ask({.ask = which, .number = vcpu}));
  const auto sent = items_of<Registers>(reply.items);
  if (sent.empty()) return fail(Errc::Failed, "VM '{}': no registers of vCPU {}", vm_, vcpu);
  return sent.front();
}

RunState Link::state() const {
  const auto reply = ask({.ask = Ask::State});
  return reply ? reply->answer.state : RunState::Gone;
}

std::vector<Notice> notices_of(const Link::Reply& reply) {
  std::vector<Notice> notices;
  for (const auto each : items_of<uint8_t>(reply.items)) notices.push_back(static_cast<Notice>(each));
  return notices;
}

}  // namespace furnace::hypervisor::broker
