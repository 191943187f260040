#include "vmi/embedding/lent_guest.h"

#include <algorithm>
#include <array>

#include "base/log.h"
#include "hypervisor/vcpu_memory.h"

namespace furnace::vmi {

using guest::Gpa;
using guest::Gva;
using hypervisor::EventKind;
using hypervisor::Registers;
using hypervisor::Watch;

namespace {

constexpr size_t kMostRegisters = 64;

Registers registers_of(std::span<const furnace_register> from) {
  Registers registers;
  for (const furnace_register& each : from)
    if (const auto reg = hypervisor::register_named(each.name != nullptr ? each.name : ""))
      registers.set(*reg, each.value);
  return registers;
}

}  // namespace

size_t LentMemory::read(Gpa from, std::span<std::byte> out) const {
  if (from.value >= guest_.memory_end) return 0;
  const size_t size = std::min<uint64_t>(out.size(), guest_.memory_end - from.value);
  return std::min(guest_.read(guest_.context, from.value, out.data(), size), size);
}

size_t LentMemory::write(Gpa to, std::span<const std::byte> data) {
  if (to.value >= guest_.memory_end) return 0;
  const size_t size = std::min<uint64_t>(data.size(), guest_.memory_end - to.value);
  return std::min(guest_.write(guest_.context, to.value, data.data(), size), size);
}

Result<std::unique_ptr<LentGuest>> LentGuest::make(const furnace_guest& guest) {
  if (guest.name == nullptr || guest.vcpus == 0 || guest.memory_end == 0)
    return fail(Errc::Invalid, "a guest needs a name, a vCPU and memory");
  if (guest.read == nullptr || guest.write == nullptr || guest.registers == nullptr ||
      guest.pause == nullptr || guest.resume == nullptr || guest.watch == nullptr || guest.unwatch == nullptr)
    return fail(Errc::Invalid, "guest '{}': a function is missing", guest.name);
  return std::unique_ptr<LentGuest>(new LentGuest(guest));
}

LentGuest::~LentGuest() {
  forget();
  if (auto done = resume(); !done) log::error("{}", done.error().message());
}

Result<std::optional<Registers>> LentGuest::registers(uint32_t vcpu) {
  if (vcpu >= guest_.vcpus) return fail(Errc::Invalid, "vCPU {} of {}", vcpu, guest_.vcpus);
  std::array<furnace_register, kMostRegisters> all{};
  const size_t count = std::min(guest_.registers(guest_.context, vcpu, all.data(), all.size()), all.size());
  if (count == 0) return fail(Errc::Failed, "no registers of vCPU {} of '{}'", vcpu, name_);
  return hypervisor::complete(registers_of(std::span(all).first(count)),
                              fmt::format("vCPU {} of '{}'", vcpu, name_));
}

Status LentGuest::pause() {
  if (paused_) return {};
  if (guest_.pause(guest_.context) == 0) return fail(Errc::Failed, "'{}' was not paused", name_);
  paused_ = true;
  return {};
}

Status LentGuest::resume() {
  if (!paused_) return {};
  if (guest_.resume(guest_.context) == 0) return fail(Errc::Failed, "'{}' was not resumed", name_);
  paused_ = false;
  return {};
}

bool LentGuest::offers(EventKind kind) const {
  return kind == EventKind::Cr3Write || kind == EventKind::Breakpoint || kind == EventKind::MemoryAccess;
}

Status LentGuest::watch_part(const Part& part, uint8_t access) {
  const furnace_watch_kind kind = part.kind == EventKind::Cr3Write     ? FURNACE_CR3_WRITE
                                  : part.kind == EventKind::Breakpoint ? FURNACE_BREAKPOINT
                                                                       : FURNACE_MEMORY_ACCESS;
  const furnace_watch asked{sizeof(furnace_watch), kind, next_part_, part.gpa.value, part.length, access};
  if (const char* why = guest_.watch(guest_.context, &asked); why != nullptr)
    return fail(Errc::Unavailable, "{}", why);
  parts_.emplace(next_part_++, part);
  return {};
}

/// Page by page: two pages in a row are anywhere in physical memory.
Status LentGuest::watch_memory(uint64_t number, const Watch& watch) {
  std::optional<guest::PageTable> table = watch.table;
  if (!table) {
    FURNACE_TRY(const auto vcpu, registers(0));
    table = hypervisor::VcpuMemory(memory_).table_of(*vcpu);
  }
  const uint64_t length = watch.kind == EventKind::Breakpoint ? 1 : watch.length;
  for (uint64_t done = 0; done < length;) {
    const Gva at{watch.address.value + done};
    const auto found = guest::walk(memory_, *table, at);
    if (!found) return fail(Errc::Unmapped, "{}", guest::explain(found.error()));
    const uint64_t piece = std::min(length - done, guest::kPageSize - at.value % guest::kPageSize);
    FURNACE_CHECK(watch_part({number, watch.kind, at, found->gpa, piece}, watch.access));
    done += piece;
  }
  return {};
}

Result<uint64_t> LentGuest::watch(const Watch& watch) {
  const uint64_t number = next_watch_++;
  const Status done = watch.kind == EventKind::Cr3Write ? watch_part({number, watch.kind, {}, {}, 0}, 0)
                                                        : watch_memory(number, watch);
  if (done) return number;
  (void)unwatch(number);
  return tl::unexpected<Error>(done.error());
}

Status LentGuest::unwatch(uint64_t watch) {
  std::erase_if(parts_, [&](const auto& part) {
    if (part.second.watch != watch) return false;
    guest_.unwatch(guest_.context, part.first);
    return true;
  });
  std::erase_if(seen_, [&](const auto& event) { return event.watch == watch; });
  return {};
}

void LentGuest::forget() {
  for (const auto& [number, part] : parts_) guest_.unwatch(guest_.context, number);
  parts_.clear();
  seen_.clear();
}

void LentGuest::note(const furnace_event& event) {
  const auto found = parts_.find(event.number);
  if (found == parts_.end()) return;  // it was on its way when its watch ended
  const Part& part = found->second;
  hypervisor::GuestEvent seen;
  seen.watch = part.watch;
  seen.vcpu = event.vcpu;
  const auto registers = hypervisor::complete(registers_of({event.registers, event.count}),
                                              fmt::format("event of vCPU {} of '{}'", event.vcpu, name_),
                                              hypervisor::kOfEveryEvent);
  if (!registers) return incomplete_.warning("{}", registers.error().message());
  seen.registers = *registers;
  if (part.kind == EventKind::MemoryAccess) {
    if (event.gpa < part.gpa.value || event.gpa - part.gpa.value >= part.length) return;
    seen.address = Gva{part.gva.value + (event.gpa - part.gpa.value)};
    seen.access = event.access;
  }
  seen_.push_back(std::move(seen));
}

}  // namespace furnace::vmi
