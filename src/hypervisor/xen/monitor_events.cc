#include "hypervisor/xen/monitor_events.h"

#include <algorithm>
#include <array>

#include "base/log.h"
#include "hypervisor/xen/vcpu.h"

namespace furnace::hypervisor {
namespace {

constexpr std::byte kInt3{0xcc};
constexpr size_t kMaxBreakpoints = 4096;
constexpr size_t kCode = 16;  // of vm_event_emul_insn_data

/// Whether Xen can watch memory of this domain (Intel's EPT alone), tried with the access that all memory
/// has.
bool offers_memory_access(xc_interface& control, uint32_t domain) {
  return ::xc_set_mem_access(&control, domain, XENMEM_access_rwx, 0, 1) == 0;
}

}  // namespace

Status MonitorEvents::ensure_open() {
  if (ring_) return {};
  if (domain_.pv)
    return fail(Errc::Unavailable, "domain '{}' is a PV guest: Xen has events of HVM and PVH guests alone",
                domain_.name);
  FURNACE_CHECK(guard_.note_monitored(true));
  auto opened = MonitorRing::open(control_, domain_.id);
  if (!opened) {
    (void)guard_.note_monitored(false);
    return fail(opened.error(), "events");
  }
  ring_ = *std::move(opened);
  return {};
}

void MonitorEvents::close_if_idle() {
  if (watches_.empty()) forget();
}

Result<uint64_t> MonitorEvents::watch(const Watch& watch) {
  FURNACE_CHECK(ensure_open());
  const uint64_t number = next_watch_++;
  Watched watched{watch.kind, {}};
  Status done;
  const bool executes =
      watch.kind == EventKind::MemoryAccess && watch.access == kAccessExecute && watch.length == 1;
  if (watch.kind == EventKind::Cr3Write) {
    done = watch_cr3(number);
  } else if (watch.kind == EventKind::Breakpoint || executes) {
    if (auto set = set_breakpoint(number, watch))
      watched.at = *set;
    else
      done = tl::unexpected<Error>(set.error());
  } else {
    done = fail(Errc::Unavailable, "{}",
                offers_memory_access(control_, domain_.id)
                    ? "memory events: the Xen driver has none yet"
                    : "memory events need Intel's EPT: this host's CPU or Xen has no mem_access");
  }
  if (!done) {
    close_if_idle();
    return tl::unexpected<Error>(done.error());
  }
  watches_.emplace(number, watched);
  return number;
}

Status MonitorEvents::watch_cr3(uint64_t number) {
  if (cr3_watches_.empty() &&
      ::xc_monitor_write_ctrlreg(&control_, domain_.id, VM_EVENT_X86_CR3, true, true, 0, true) != 0)
    return fail_errno("writes of CR3");
  cr3_watches_.insert(number);
  return {};
}

Result<guest::Gpa> MonitorEvents::set_breakpoint(uint64_t number, const Watch& watch) {
  std::optional<guest::PageTable> table = watch.table;
  if (!table) {
    FURNACE_TRY(const Registers registers, read_hvm_registers(control_, domain_.id, 0));
    table = VcpuMemory::table_of(registers);
  }
  const auto found = guest::walk(memory_, *table, watch.address);
  if (!found) return fail(Errc::Unmapped, "{}", guest::explain(found.error()));
  const guest::Gpa at = found->gpa;
  if (const auto known = breakpoints_.find(at.value); known != breakpoints_.end()) {
    known->second.watches.insert(number);
    return at;
  }
  if (breakpoints_.size() >= kMaxBreakpoints)
    return fail(Errc::Unavailable, "{} breakpoints are in use: that is the limit", breakpoints_.size());
  if (breakpoints_.empty() && ::xc_monitor_software_breakpoint(&control_, domain_.id, true) != 0)
    return fail_errno("breakpoints");
  const auto original = memory_.GuestMemory::read<std::byte>(at);
  if (!original) return fail(Errc::Unmapped, "{:#x} is not in memory", watch.address.value);
  FURNACE_CHECK(guard_.note_breakpoint(at.value, std::to_integer<uint8_t>(*original)));
  if (memory_.write(at, std::span(&kInt3, 1)) != 1) {
    (void)guard_.note_no_breakpoint(at.value);
    return fail(Errc::Failed, "{:#x} can't be written", watch.address.value);
  }
  memory_.cover(at, *original);
  breakpoints_.emplace(at.value, Breakpoint{*original, {number}});
  return at;
}

Status MonitorEvents::remove_breakpoint(uint64_t number, guest::Gpa at) {
  const auto found = breakpoints_.find(at.value);
  if (found == breakpoints_.end()) return {};
  found->second.watches.erase(number);
  if (!found->second.watches.empty()) return {};
  const std::byte original = found->second.original;
  breakpoints_.erase(found);
  memory_.cover(at, std::nullopt);
  // What the guest has written there since stays.
  if (memory_.GuestMemory::read<std::byte>(at) == kInt3) (void)memory_.write(at, std::span(&original, 1));
  if (breakpoints_.empty()) (void)::xc_monitor_software_breakpoint(&control_, domain_.id, false);
  return guard_.note_no_breakpoint(at.value);
}

Status MonitorEvents::unwatch(uint64_t watch) {
  const auto found = watches_.find(watch);
  if (found == watches_.end()) return fail(Errc::NotFound, "no watch {}", watch);
  const Watched watched = found->second;
  watches_.erase(found);
  std::erase_if(events_, [&](const GuestEvent& event) { return event.watch == watch; });
  Status done;
  if (watched.kind != EventKind::Cr3Write) {
    done = remove_breakpoint(watch, watched.at);
  } else if (cr3_watches_.erase(watch); cr3_watches_.empty()) {
    (void)::xc_monitor_write_ctrlreg(&control_, domain_.id, VM_EVENT_X86_CR3, false, true, 0, true);
  }
  close_if_idle();
  return done;
}

void MonitorEvents::forget() {
  while (!watches_.empty()) {
    const auto [number, watched] = *watches_.begin();
    watches_.erase(watches_.begin());
    if (watched.kind != EventKind::Cr3Write) (void)remove_breakpoint(number, watched.at);
  }
  cr3_watches_.clear();
  if (!ring_) return;
  // The domain stands meanwhile: a vCPU whose event came behind the last look at the ring would wait for an
  // answer for good.
  (void)guard_.note_held(true);
  const bool stands = ::xc_domain_pause(&control_, domain_.id) == 0;
  (void)::xc_monitor_write_ctrlreg(&control_, domain_.id, VM_EVENT_X86_CR3, false, true, 0, true);
  // Who stands at a breakpoint that has gone runs the instruction itself.
  while (auto request = ring_->take()) standing_.push_back(*request);
  events_.clear();
  proceed();
  ring_.reset();
  if (stands) ::xc_domain_unpause(&control_, domain_.id);
  (void)guard_.note_held(false);
  (void)guard_.note_monitored(false);
}

std::vector<GuestEvent> MonitorEvents::take() {
  if (!ring_) return {};
  ring_->acknowledge();
  while (const auto request = ring_->take()) {
    if (request->version != VM_EVENT_INTERFACE_VERSION) {
      log::error("Xen's monitor events are of version {}, not {}", request->version,
                 VM_EVENT_INTERFACE_VERSION);
    } else if (request->reason == VM_EVENT_REASON_WRITE_CTRLREG) {
      note_cr3(*request);
    } else if (request->reason == VM_EVENT_REASON_SOFTWARE_BREAKPOINT) {
      note_breakpoint(*request);
    }
    standing_.push_back(*request);
  }
  return events_;
}

void MonitorEvents::note_cr3(const vm_event_request_t& request) {
  Registers registers = registers_of(request.data.regs.x86);
  registers.replace("cr3", request.u.write_ctrlreg.new_value);
  for (const uint64_t watch : cr3_watches_)
    events_.push_back({.watch = watch,
                       .vcpu = request.vcpu_id,
                       .registers = registers,
                       .address = {},
                       .old_value = {},
                       .new_value = {}});
}

void MonitorEvents::note_breakpoint(const vm_event_request_t& request) {
  const Registers registers = registers_of(request.data.regs.x86);
  const guest::Gva rip{request.data.regs.x86.rip};
  const guest::Gpa at{request.u.software_breakpoint.gfn * guest::kPageSize + rip.value % guest::kPageSize};
  const auto found = breakpoints_.find(at.value);
  if (found == breakpoints_.end()) return;
  for (const uint64_t number : found->second.watches) {
    GuestEvent event{.watch = number,
                     .vcpu = request.vcpu_id,
                     .registers = registers,
                     .address = {},
                     .old_value = {},
                     .new_value = {}};
    if (watches_.at(number).kind == EventKind::MemoryAccess) {
      event.address = rip;
      event.access = kAccessExecute;
    }
    events_.push_back(std::move(event));
  }
}

void MonitorEvents::step_over(const Registers& registers, vm_event_response_t& response) const {
  const uint64_t rip = registers.get("rip").value_or(0);
  std::array<std::byte, kCode> code{};
  const size_t size = VcpuMemory(memory_).read(registers, rip, code);
  const auto instruction = disassembler_.decode(std::span(code).first(size), rip, registers, false);
  if (instruction && instruction->no_effect) {
    response.flags |= VM_EVENT_FLAG_SET_REGISTERS;
    response.data.regs.x86.rip = rip + instruction->length;
    return;
  }
  // Xen runs the instruction that was there.
  response.flags |= VM_EVENT_FLAG_EMULATE | VM_EVENT_FLAG_SET_EMUL_INSN_DATA;
  std::memcpy(response.data.emul.insn.data, code.data(), code.size());
}

void MonitorEvents::proceed() {
  events_.clear();
  if (!ring_ || standing_.empty()) return;
  for (const vm_event_request_t& request : std::exchange(standing_, {})) {
    vm_event_response_t response = request;
    response.version = VM_EVENT_INTERFACE_VERSION;
    response.flags = request.flags & VM_EVENT_FLAG_VCPU_PAUSED;
    if (request.reason == VM_EVENT_REASON_SOFTWARE_BREAKPOINT) {
      const uint64_t rip = request.data.regs.x86.rip;
      const guest::Gpa at{request.u.software_breakpoint.gfn * guest::kPageSize + rip % guest::kPageSize};
      const Registers registers = registers_of(request.data.regs.x86);
      if (breakpoints_.contains(at.value))
        step_over(registers, response);
      else if (memory_.GuestMemory::read<std::byte>(at) == kInt3)  // the guest's own
        if (auto given =
                ring_->hand_back_breakpoint(request.vcpu_id, request.u.software_breakpoint.insn_length);
            !given)
          log::warning("{}", given.error().message());
    }
    ring_->answer(response);
  }
  ring_->flush();
}

}  // namespace furnace::hypervisor
