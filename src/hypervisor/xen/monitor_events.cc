#include "hypervisor/xen/monitor_events.h"

#include <algorithm>

#include "base/log.h"
#include "hypervisor/xen/vcpu.h"

namespace furnace::hypervisor {
namespace {

guest::Gpa place_of(const vm_event_request_t& breakpoint) {
  return {breakpoint.u.software_breakpoint.gfn * guest::kPageSize +
          breakpoint.data.regs.x86.rip % guest::kPageSize};
}

std::optional<Fault> fault_of(const vm_event_request_t& request) {
  if (request.reason != VM_EVENT_REASON_MEM_ACCESS) return std::nullopt;
  static_assert(kAccessRead == MEM_ACCESS_R && kAccessWrite == MEM_ACCESS_W &&
                kAccessExecute == MEM_ACCESS_X);
  const vm_event_mem_access& seen = request.u.mem_access;
  return Fault{{seen.gfn * guest::kPageSize + seen.offset},
               static_cast<uint8_t>(seen.flags & MEM_ACCESS_RWX),
               (seen.flags & MEM_ACCESS_FAULT_IN_GPT) != 0};
}

}  // namespace

MonitorEvents::MonitorEvents(xc_interface& control, const Domain& domain, DomainMemory& memory,
                             XenGuard& guard)
    : control_(control),
      domain_(domain),
      memory_(memory),
      guard_(guard),
      breakpoints_(memory, memory.covered(),
                   [this](guest::Gpa at, std::optional<std::byte> original) {
                     return original ? guard_.note_breakpoint(at.value, std::to_integer<uint8_t>(*original))
                                     : guard_.note_no_breakpoint(at.value);
                   }),
      accesses_(memory, [this](uint64_t frame, uint8_t access) { return frames_->forbid(frame, access); }) {}

Status MonitorEvents::ensure_open() {
  if (ring_) return {};
  if (domain_.pv)
    return fail(Errc::Unavailable, "domain '{}' is a PV guest: Xen has events only of HVM and PVH guests",
                domain_.name);
  FURNACE_CHECK(guard_.note_monitored(true));
  auto opened = MonitorRing::open(control_, domain_.id);
  if (!opened) {
    (void)guard_.note_monitored(false);
    return fail(opened.error(), "events");
  }
  ring_ = *std::move(opened);
  can_step_ = ::xc_monitor_singlestep(&control_, domain_.id, true) == 0;
  return {};
}

void MonitorEvents::close_if_idle() {
  if (watches_.empty()) forget();
}

bool MonitorEvents::any(EventKind kind) const {
  return std::any_of(watches_.begin(), watches_.end(),
                     [&](const auto& each) { return each.second.kind == kind; });
}

Result<uint64_t> MonitorEvents::watch(const Watch& watch) {
  FURNACE_CHECK(ensure_open());
  const uint64_t number = next_watch_++;
  Watched watched{watch.kind, {}};
  if (auto armed = arm(number, watch, watched); !armed) {
    close_if_idle();
    return tl::unexpected<Error>(armed.error());
  }
  watches_.emplace(number, watched);
  return number;
}

Status MonitorEvents::arm(uint64_t number, const Watch& watch, Watched& watched) {
  if (watch.kind == EventKind::Cr3Write) return watch_cr3();
  if (watch.kind == EventKind::GuestRequest) return watch_guest_requests();
  if (!watches_instruction(watch)) return watch_memory(number, watch);
  FURNACE_TRY(watched.at, set_breakpoint(number, watch));
  return {};
}

Result<guest::Gpa> MonitorEvents::set_breakpoint(uint64_t number, const Watch& watch) {
  FURNACE_TRY(const guest::PageTable table, table_of(watch));
  const auto found = guest::walk(memory_, table, watch.address);
  if (!found) return fail(Errc::Unmapped, "{}", guest::explain(found.error()));
  if (breakpoints_.empty() && ::xc_monitor_software_breakpoint(&control_, domain_.id, true) != 0)
    return fail_errno("breakpoints");
  if (auto set = breakpoints_.set(number, found->gpa); !set) {
    if (breakpoints_.empty()) (void)::xc_monitor_software_breakpoint(&control_, domain_.id, false);
    return tl::unexpected<Error>(set.error());
  }
  return found->gpa;
}

Result<guest::PageTable> MonitorEvents::table_of(const Watch& watch) const {
  if (watch.table) return *watch.table;
  FURNACE_TRY(const Registers registers, read_hvm_registers(control_, domain_.id, 0));
  return VcpuMemory(memory_).table_of(registers);
}

Status MonitorEvents::watch_cr3() {
  if (!any(EventKind::Cr3Write) &&
      ::xc_monitor_write_ctrlreg(&control_, domain_.id, VM_EVENT_X86_CR3, true, true, 0, true) != 0)
    return fail_errno("writes of CR3");
  return {};
}

Status MonitorEvents::watch_guest_requests() {
  constexpr bool enable = true, sync = true, by_user_space = true;
  if (!any(EventKind::GuestRequest) &&
      ::xc_monitor_guest_request(&control_, domain_.id, enable, sync, by_user_space) != 0)
    return fail_errno("requests of the guest");
  return {};
}

Status MonitorEvents::watch_memory(uint64_t number, const Watch& watch) {
  FURNACE_TRY(const guest::PageTable table, table_of(watch));
  if (!frames_) {
    FURNACE_TRY(frames_, FrameAccess::open(control_, domain_, guard_, can_step_));
    if (frames_->passing() == Passing::Emulated)
      log::warning(
          "accesses to memory are reported before they happen, without the new value, and Xen emulates their "
          "instructions: {} needs altp2m (start Xen with altp2m=1) and a CPU with the monitor trap flag",
          domain_.name);
  }
  Status added;
  if (frames_->passing() == Passing::Emulated) added = MemoryWatches::refuse_execution(watch);
  if (added) added = accesses_.add(number, watch, table);
  if (accesses_.empty()) frames_.reset();
  return added;
}

Status MonitorEvents::unwatch(uint64_t watch) {
  const auto found = watches_.find(watch);
  if (found == watches_.end()) return fail(Errc::NotFound, "no watch {}", watch);
  const Watched watched = found->second;
  watches_.erase(found);
  std::erase_if(events_, [&](const GuestEvent& event) { return event.watch == watch; });
  for (auto& [vcpu, step] : steps_)
    std::erase_if(step.accesses.all, [&](const ComingAccess& access) { return access.event.watch == watch; });
  disarm(watch, watched);
  close_if_idle();
  return {};
}

void MonitorEvents::disarm(uint64_t number, const Watched& watched) {
  if (watched.at.value != 0) {
    if (auto removed = breakpoints_.remove(number, watched.at); !removed)
      log::warning("{}", removed.error().message());
    if (breakpoints_.empty()) (void)::xc_monitor_software_breakpoint(&control_, domain_.id, false);
  } else if (watched.kind == EventKind::MemoryAccess && frames_) {
    accesses_.remove(number);
    if (accesses_.empty()) frames_.reset();
  } else if (watched.kind == EventKind::Cr3Write && !any(EventKind::Cr3Write)) {
    (void)::xc_monitor_write_ctrlreg(&control_, domain_.id, VM_EVENT_X86_CR3, false, true, 0, true);
  } else if (watched.kind == EventKind::GuestRequest && !any(EventKind::GuestRequest)) {
    (void)::xc_monitor_guest_request(&control_, domain_.id, false, true, true);
  }
}

void MonitorEvents::forget() {
  if (!ring_) return;
  // The domain is paused meanwhile: a vCPU whose event came after the last read of the ring would wait for an
  // answer for good.
  (void)guard_.note_held(true);
  const bool stands = ::xc_domain_pause(&control_, domain_.id) == 0;
  while (!watches_.empty()) {
    const auto [number, watched] = *watches_.begin();
    watches_.erase(watches_.begin());
    disarm(number, watched);
  }
  // A vCPU at a breakpoint that was removed runs the instruction itself.
  while (auto request = ring_->take()) standing_.push_back(*request);
  events_.clear();
  proceed();
  for (uint32_t vcpu = 0; can_step_ && vcpu < domain_.vcpus; ++vcpu)
    (void)::xc_domain_debug_control(&control_, domain_.id, XEN_DOMCTL_DEBUG_OP_SINGLE_STEP_OFF, vcpu);
  steps_.clear();
  frames_.reset();
  accesses_.clear();
  ring_.reset();
  if (stands) ::xc_domain_unpause(&control_, domain_.id);
  (void)guard_.note_held(false);
  (void)guard_.note_monitored(false);
}

std::vector<GuestEvent> MonitorEvents::take() {
  if (!ring_) return {};
  ring_->acknowledge();
  while (const auto request = ring_->take()) {
    if (request->version == VM_EVENT_INTERFACE_VERSION)
      note(*request);
    else
      log::error("Xen's monitor events are of version {}, not {}", request->version,
                 VM_EVENT_INTERFACE_VERSION);
    standing_.push_back(*request);
  }
  return events_;
}

void MonitorEvents::note(const vm_event_request_t& request) {
  Registers registers = registers_of(request.data.regs.x86);
  switch (request.reason) {
    case VM_EVENT_REASON_WRITE_CTRLREG:
      registers.set(Reg::Cr3, request.u.write_ctrlreg.new_value);
      return note_for_all(EventKind::Cr3Write, request, registers);
    case VM_EVENT_REASON_GUEST_REQUEST:
      return note_for_all(EventKind::GuestRequest, request, registers);
    case VM_EVENT_REASON_SOFTWARE_BREAKPOINT:
      return note_breakpoint(request);
    case VM_EVENT_REASON_MEM_ACCESS:
      return note_access(request, registers);
    case VM_EVENT_REASON_SINGLESTEP:
      return note_step(request);
    default:
      return;
  }
}

void MonitorEvents::note_for_all(EventKind kind, const vm_event_request_t& request,
                                 const Registers& registers) {
  for (const auto& [number, watched] : watches_)
    if (watched.kind == kind) events_.push_back(event_here(number, kind, request.vcpu_id, registers));
}

void MonitorEvents::note_breakpoint(const vm_event_request_t& request) {
  const auto* watches = breakpoints_.find(place_of(request));
  if (watches == nullptr) return;
  const Registers registers = registers_of(request.data.regs.x86);
  for (const uint64_t number : *watches)
    events_.push_back(event_here(number, watches_.at(number).kind, request.vcpu_id, registers));
}

void MonitorEvents::note_access(const vm_event_request_t& request, const Registers& registers) {
  const auto fault = fault_of(request);
  for (GuestEvent& event : accesses_.execution(request.vcpu_id, registers, *fault))
    events_.push_back(std::move(event));
  if (!frames_ || frames_->passing() != Passing::Emulated) return;  // reported after the instruction
  for (ComingAccess& access : accesses_.coming(request.vcpu_id, registers, fault).all) {
    access.event.registers = registers;
    events_.push_back(std::move(access.event));
  }
}

void MonitorEvents::note_step(const vm_event_request_t& request) {
  const auto found = steps_.find(request.vcpu_id);
  if (found == steps_.end()) return;
  const Registers registers = registers_of(request.data.regs.x86);
  for (GuestEvent& event : accesses_.finished(std::move(found->second.accesses), registers))
    events_.push_back(std::move(event));
  found->second.accesses = {};
}

void MonitorEvents::proceed() {
  events_.clear();
  if (!ring_ || standing_.empty()) return;
  for (const vm_event_request_t& request : std::exchange(standing_, {})) answer(request);
  ring_->flush();
}

void MonitorEvents::answer(const vm_event_request_t& request) {
  vm_event_response_t response = request;
  response.version = VM_EVENT_INTERFACE_VERSION;
  response.flags = request.flags & VM_EVENT_FLAG_VCPU_PAUSED;
  if (request.reason == VM_EVENT_REASON_SOFTWARE_BREAKPOINT)
    pass_breakpoint(request, response);
  else if (request.reason == VM_EVENT_REASON_MEM_ACCESS && frames_)
    pass_access(request, response);
  else if (request.reason == VM_EVENT_REASON_SINGLESTEP)
    end_step(request, response);
  ring_->answer(response);
}

void MonitorEvents::pass_breakpoint(const vm_event_request_t& request, vm_event_response_t& answer) {
  const guest::Gpa at = place_of(request);
  if (breakpoints_.find(at) != nullptr) {
    if (can_step_ && domain_.vcpus == 1) return begin_step(request, answer);
    return run_original(request, answer);
  }
  constexpr std::byte int3{0xcc};
  if (memory_.GuestMemory::read<std::byte>(at) != int3) return;  // ours, removed since
  if (auto given = ring_->hand_back_breakpoint(request.vcpu_id, request.u.software_breakpoint.insn_length);
      !given)
    log::warning("{}", given.error().message());
}

/// Xen runs it, or the vCPU resumes after it.
void MonitorEvents::run_original(const vm_event_request_t& request, vm_event_response_t& answer) const {
  const auto original = in_place_of_int3(memory_, registers_of(request.data.regs.x86));
  if (original.next) {
    answer.flags |= VM_EVENT_FLAG_SET_REGISTERS;
    answer.data.regs.x86.rip = *original.next;
    return;
  }
  answer.flags |= VM_EVENT_FLAG_EMULATE | VM_EVENT_FLAG_SET_EMUL_INSN_DATA;
  static_assert(sizeof answer.data.emul.insn.data == sizeof original.code);
  std::memcpy(answer.data.emul.insn.data, original.code.data(), original.code.size());
}

void MonitorEvents::pass_access(const vm_event_request_t& request, vm_event_response_t& answer) {
  if (frames_->passing() == Passing::Emulated)
    answer.flags |= VM_EVENT_FLAG_EMULATE;
  else
    begin_step(request, answer);
}

/// Also of a vCPU that meets another obstacle in the instruction that it steps over.
void MonitorEvents::begin_step(const vm_event_request_t& request, vm_event_response_t& answer) {
  const bool at_breakpoint = request.reason == VM_EVENT_REASON_SOFTWARE_BREAKPOINT;
  auto accesses = accesses_.coming(request.vcpu_id, registers_of(request.data.regs.x86), fault_of(request));
  const bool is_new = !steps_.contains(request.vcpu_id);
  if (is_new && !at_breakpoint && accesses.all.empty() && frames_->let_pass_unseen(answer)) return;
  Step& step = steps_[request.vcpu_id];
  step.accesses = std::move(accesses);
  if (at_breakpoint)
    breakpoints_.lift(step.lifted.emplace(place_of(request)));
  else
    step.frames.insert(request.u.mem_access.gfn);
  if (frames_) frames_->let_pass(step.frames, answer);
  if (is_new) answer.flags |= VM_EVENT_FLAG_TOGGLE_SINGLESTEP;
}

void MonitorEvents::end_step(const vm_event_request_t& request, vm_event_response_t& answer) {
  answer.flags |= VM_EVENT_FLAG_TOGGLE_SINGLESTEP;
  const auto found = steps_.find(request.vcpu_id);
  if (found == steps_.end()) return;
  if (found->second.lifted) breakpoints_.put_back(*found->second.lifted);
  if (frames_) frames_->forbid_again(found->second.frames, answer);
  steps_.erase(found);
}

}  // namespace furnace::hypervisor
