#include "hypervisor/xen/brokered.h"

#include <unistd.h>

#include <nlohmann/json.hpp>

#include "base/log.h"

namespace furnace::hypervisor {

using broker::Ask;
using broker::Link;
using broker::Request;
using nlohmann::json;

Result<std::unique_ptr<Hypervisor>> BrokeredXen::borrow(const std::string& text) try {
  const json all = json::parse(text);
  const auto descriptor = [&](const char* key) { return Fd(all.at(key).get<int>()); };
  MemoryLayout layout;
  for (const json& range : all.at("ranges"))
    layout.ranges.push_back({guest::Gpa{range.at(0)}, guest::Gpa{range.at(1)}});
  const Fd frames = descriptor("frames");
  if (all.at("pv").get<bool>()) {
    FURNACE_TRY(layout.machine_frames, MachineFrames::from_file(frames));
  }
  const uint32_t id = all.at("id");
  DomainMemory memory(ForeignMemory(descriptor("privcmd")), id, std::move(layout));
  return std::unique_ptr<Hypervisor>(new BrokeredXen(
      all.at("name"), id, all.at("vcpus"), descriptor("socket"), descriptor("bell"), std::move(memory)));
} catch (const json::exception& error) {
  return fail(Errc::Invalid, "--handles: {}", error.what());
}

uint64_t BrokeredXen::memory_size() const {
  uint64_t size = 0;
  for (const auto& range : memory_.ranges()) size += range.size();
  return size;
}

Result<std::optional<Registers>> BrokeredXen::registers(uint32_t vcpu) {
  return link_.registers(vcpu);
}

std::vector<Notice> BrokeredXen::poll() {
  uint64_t rung = 0;
  (void)!::read(bell_.get(), &rung, sizeof rung);
  const auto reply = link_.ask({.ask = Ask::Poll});
  if (!reply) return {Notice::Gone};
  return broker::notices_of(*reply);
}

void BrokeredXen::cover(const Link::Reply& reply) {
  memory_.covered() = {};
  for (const auto& [gpa, byte] : broker::items_of<broker::SentByte>(reply.items))
    memory_.covered().set(guest::Gpa{gpa}, static_cast<std::byte>(byte));
}

Result<uint64_t> BrokeredXen::watch(const Watch& watch) {
  Request request{.ask = Ask::Watch,
                  .kind = static_cast<uint8_t>(watch.kind),
                  .access = watch.access,
                  .address = watch.address.value,
                  .length = watch.length};
  if (watch.table) {
    request.has_table = 1;
    request.root = watch.table->root.value;
    request.levels = watch.table->levels;
  }
  FURNACE_TRY(const Link::Reply reply, link_.ask(request));
  cover(reply);
  return reply.answer.number;
}

Status BrokeredXen::unwatch(uint64_t watch) {
  FURNACE_TRY(const Link::Reply reply, link_.ask({.ask = Ask::Unwatch, .number = watch}));
  cover(reply);
  return {};
}

void BrokeredXen::forget() {
  if (auto reply = link_.ask({.ask = Ask::Forget}); !reply) log::debug("{}", reply.error().message());
  memory_.covered() = {};
}

std::vector<GuestEvent> BrokeredXen::take() {
  const auto reply = link_.ask({.ask = Ask::Take});
  if (!reply) return {};
  std::vector<GuestEvent> events;
  for (const auto& sent : broker::items_of<broker::SentEvent>(reply->items))
    events.push_back(broker::unpack(sent));
  return events;
}

void BrokeredXen::proceed() {
  if (auto reply = link_.ask({.ask = Ask::Proceed}); !reply) log::debug("{}", reply.error().message());
}

}  // namespace furnace::hypervisor
