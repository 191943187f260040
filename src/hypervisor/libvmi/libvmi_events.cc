#include "hypervisor/libvmi/libvmi_events.h"

#include <sys/timerfd.h>

#include <algorithm>

#include "base/log.h"

namespace furnace::hypervisor {
namespace {

constexpr std::chrono::microseconds kBetweenLooks(500);

struct Field {
  Reg reg;
  uint64_t (*get)(const x86_registers_t&);
};
// NOLINTBEGIN(cppcoreguidelines-macro-usage): a field by its name
#define FIELD(reg, member)                                                          \
  Field {                                                                           \
    reg, [](const x86_registers_t& of) { return static_cast<uint64_t>(of.member); } \
  }
constexpr std::array kFields = {
    FIELD(Reg::Rax, rax),   FIELD(Reg::Rbx, rbx),   FIELD(Reg::Rcx, rcx),       FIELD(Reg::Rdx, rdx),
    FIELD(Reg::Rsi, rsi),   FIELD(Reg::Rdi, rdi),   FIELD(Reg::Rbp, rbp),       FIELD(Reg::Rsp, rsp),
    FIELD(Reg::R8, r8),     FIELD(Reg::R9, r9),     FIELD(Reg::R10, r10),       FIELD(Reg::R11, r11),
    FIELD(Reg::R12, r12),   FIELD(Reg::R13, r13),   FIELD(Reg::R14, r14),       FIELD(Reg::R15, r15),
    FIELD(Reg::Rip, rip),   FIELD(Reg::Cr0, cr0),   FIELD(Reg::Rflags, rflags), FIELD(Reg::Cr2, cr2),
    FIELD(Reg::Cr3, cr3),   FIELD(Reg::Cr4, cr4),   FIELD(Reg::Efer, msr_efer), FIELD(Reg::FsBase, fs_base),
    FIELD(Reg::Cs, cs_sel), FIELD(Reg::Ss, ss_sel), FIELD(Reg::GsBase, gs_base)};
#undef FIELD
// NOLINTEND(cppcoreguidelines-macro-usage)

Registers registers_of(const x86_registers_t& sent) {
  Registers registers;
  for (const auto& field : kFields) registers.set(field.reg, field.get(sent));
  return registers;
}

/// VMI_MEMACCESS_R, W and X are Access's bits, one further; 1 is "none".
constexpr unsigned kAccessShift = 1;
static_assert(VMI_MEMACCESS_R == kAccessRead << kAccessShift &&
              VMI_MEMACCESS_W == kAccessWrite << kAccessShift &&
              VMI_MEMACCESS_X == kAccessExecute << kAccessShift);

}  // namespace

LibVmiEvents::LibVmiEvents(std::string name, LibVmiMemory& memory, XenGuard guard)
    : name_(std::move(name)),
      memory_(memory),
      guard_(std::move(guard)),
      timer_(::timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK)),
      breakpoints_(memory, memory.covered(),
                   [this](guest::Gpa at, std::optional<std::byte> original) {
                     return original ? guard_.note_breakpoint(at.value, std::to_integer<uint8_t>(*original))
                                     : guard_.note_no_breakpoint(at.value);
                   }),
      accesses_(memory, [this](uint64_t frame, uint8_t access) { return forbid(frame, access); }) {}

template <auto Note>
event_response_t LibVmiEvents::call_back(vmi_instance_t, vmi_event_t* event) {
  return (static_cast<LibVmiEvents*>(event->data)->*Note)(*event);
}

void LibVmiEvents::ask_every(std::chrono::microseconds time) {
  const timespec each{0, std::chrono::nanoseconds(time).count()};
  const itimerspec wanted{each, each};
  ::timerfd_settime(timer_.get(), 0, &wanted, nullptr);
}

Status LibVmiEvents::ensure_open() {
  if (instance_) return {};
  FURNACE_CHECK(guard_.note_monitored(true));
  vmi_instance_t made = nullptr;
  if (::vmi_init(&made, VMI_XEN, name_.c_str(), VMI_INIT_DOMAINNAME | VMI_INIT_EVENTS, nullptr, nullptr) !=
      VMI_SUCCESS) {
    (void)guard_.note_monitored(false);
    return fail(Errc::Unavailable,
                "LibVMI has no events of '{}': it is a PV guest, or another program has its monitor ring",
                name_);
  }
  instance_.reset(made);
  ask_every(kBetweenLooks);
  return {};
}

Status LibVmiEvents::add(vmi_event_t& event) {
  event.data = this;
  if (::vmi_register_event(instance_.get(), &event) == VMI_SUCCESS) return {};
  event.data = nullptr;
  return fail(Errc::Unavailable, "LibVMI can't watch that: CPU or Xen lack it");
}

void LibVmiEvents::drop(vmi_event_t& event) {
  if (event.data == nullptr) return;
  settle();
  (void)::vmi_clear_event(instance_.get(), &event, nullptr);
  event.data = nullptr;
}

Result<guest::PageTable> LibVmiEvents::table_of(const Watch& watch) const {
  if (watch.table) return *watch.table;
  Registers registers;
  for (const auto& [reg, libvmi] : {std::pair(Reg::Cr3, CR3), std::pair(Reg::Cr4, CR4)}) {
    uint64_t value = 0;
    if (::vmi_get_vcpureg(instance_.get(), &value, libvmi, 0) != VMI_SUCCESS)
      return fail(Errc::Failed, "LibVMI: no {} of vCPU 0", name_of(reg));
    registers.set(reg, value);
  }
  return VcpuMemory(memory_).table_of(registers);
}

Result<uint64_t> LibVmiEvents::watch(const Watch& watch) {
  FURNACE_CHECK(ensure_open());
  const uint64_t number = next_watch_++;
  Watched watched{watch.kind, {}};
  if (auto armed = arm(number, watch, watched); !armed) {
    if (watches_.empty()) forget();
    return tl::unexpected<Error>(armed.error());
  }
  watches_.emplace(number, watched);
  return number;
}

Status LibVmiEvents::arm(uint64_t number, const Watch& watch, Watched& watched) {
  if (watch.kind == EventKind::Cr3Write) {
    if (cr3_.data != nullptr) return {};
    SETUP_REG_EVENT(&cr3_, CR3, VMI_REGACCESS_W, 0, call_back<&LibVmiEvents::note_cr3>);
    return add(cr3_);
  }
  FURNACE_TRY(const guest::PageTable table, table_of(watch));
  if (!watches_instruction(watch)) {
    FURNACE_CHECK(MemoryWatches::refuse_execution(watch));
    return accesses_.add(number, watch, table);
  }
  const auto found = guest::walk(memory_, table, watch.address);
  if (!found) return fail(Errc::Unmapped, "{}", guest::explain(found.error()));
  if (int3_.data == nullptr) {
    SETUP_INTERRUPT_EVENT(&int3_, call_back<&LibVmiEvents::note_breakpoint>);
    FURNACE_CHECK(add(int3_));
  }
  watched.at = found->gpa;
  return breakpoints_.set(number, found->gpa);
}

Status LibVmiEvents::forbid(uint64_t frame, uint8_t access) {
  const auto known = frames_.find(frame);
  if (known != frames_.end()) {
    drop(known->second);
    frames_.erase(known);
  }
  if (access == 0) return {};
  // EPT can't forbid only reading.
  if ((access & kAccessRead) != 0) access |= kAccessWrite;
  vmi_event_t& event = frames_[frame];
  SETUP_MEM_EVENT(&event, frame, static_cast<vmi_mem_access_t>(unsigned{access} << kAccessShift),
                  call_back<&LibVmiEvents::note_access>, 0);
  Status added = add(event);
  if (!added) frames_.erase(frame);
  return added;
}

Status LibVmiEvents::unwatch(uint64_t watch) {
  const auto found = watches_.find(watch);
  if (found == watches_.end()) return fail(Errc::NotFound, "no watch {}", watch);
  settle();
  const Watched watched = found->second;
  watches_.erase(found);
  std::erase_if(events_, [&](const GuestEvent& event) { return event.watch == watch; });
  disarm(watch, watched);
  if (watches_.empty()) forget();
  return {};
}

void LibVmiEvents::disarm(uint64_t number, const Watched& watched) {
  if (watched.at.value != 0) {
    if (auto removed = breakpoints_.remove(number, watched.at); !removed)
      log::warning("{}", removed.error().message());
    return;
  }
  if (watched.kind == EventKind::MemoryAccess) return accesses_.remove(number);
  const bool others = std::any_of(watches_.begin(), watches_.end(),
                                  [](const auto& each) { return each.second.kind == EventKind::Cr3Write; });
  if (!others) drop(cr3_);
}

void LibVmiEvents::forget() {
  if (!instance_) return;
  settle();
  while (!watches_.empty()) {
    const auto [number, watched] = *watches_.begin();
    watches_.erase(watches_.begin());
    disarm(number, watched);
  }
  drop(int3_);
  proceed();
  ask_every(std::chrono::microseconds(0));
  instance_.reset();
  (void)guard_.note_monitored(false);
}

std::vector<GuestEvent> LibVmiEvents::take() {
  uint64_t ticks = 0;
  (void)!::read(timer_.get(), &ticks, sizeof ticks);
  if (!instance_) return {};
  if (::vmi_events_listen(instance_.get(), 0) != VMI_SUCCESS)
    log::error("LibVMI: events of '{}' are lost", name_);
  return events_;
}

void LibVmiEvents::proceed() {
  events_.clear();
  if (!std::exchange(held_, false)) return;
  (void)::vmi_resume_vm(instance_.get());
  (void)guard_.note_held(false);
}

/// Nothing is on its way to us any more: LibVMI leaves vCPUs without an answer whose event was removed
/// meanwhile.
void LibVmiEvents::settle() {
  hold();
  (void)::vmi_events_listen(instance_.get(), 0);
}

/// All vCPUs stand until `proceed`, also the one that Xen gets an answer for now.
void LibVmiEvents::hold() {
  if (std::exchange(held_, true)) return;
  (void)guard_.note_held(true);
  (void)::vmi_pause_vm(instance_.get());
}

event_response_t LibVmiEvents::note_cr3(vmi_event_t& event) {
  Registers registers = registers_of(*event.x86_regs);
  registers.set(Reg::Cr3, event.reg_event.value);
  for (const auto& [number, watched] : watches_)
    if (watched.kind == EventKind::Cr3Write)
      events_.push_back(event_here(number, watched.kind, event.vcpu_id, registers));
  hold();
  return VMI_EVENT_RESPONSE_NONE;
}

event_response_t LibVmiEvents::note_breakpoint(vmi_event_t& event) {
  const guest::Gpa at{event.interrupt_event.gfn * guest::kPageSize + event.interrupt_event.offset};
  const auto* const watches = breakpoints_.find(at);
  constexpr std::byte int3{0xcc};
  const bool is_the_guests = watches == nullptr && memory_.GuestMemory::read<std::byte>(at) == int3;
  event.interrupt_event.reinject = is_the_guests ? 1 : 0;
  if (watches == nullptr) return VMI_EVENT_RESPONSE_NONE;
  const Registers registers = registers_of(*event.x86_regs);
  for (const uint64_t number : *watches)
    events_.push_back(event_here(number, watches_.at(number).kind, event.vcpu_id, registers));
  hold();
  const auto original = in_place_of_int3(memory_, registers);
  if (original.next) {
    event.x86_regs->rip = *original.next;
    return VMI_EVENT_RESPONSE_SET_REGISTERS;
  }
  original_.dont_free = 1;
  std::memcpy(original_.data, original.code.data(), original.code.size());
  event.emul_insn = &original_;
  return VMI_EVENT_RESPONSE_SET_EMUL_INSN;
}

event_response_t LibVmiEvents::note_access(vmi_event_t& event) {
  const Registers registers = registers_of(*event.x86_regs);
  const mem_access_event_t& seen = event.mem_event;
  const Fault fault{{seen.gfn * guest::kPageSize + seen.offset},
                    static_cast<uint8_t>(unsigned{seen.out_access} >> kAccessShift),
                    seen.gptw != 0};
  auto told = accesses_.execution(event.vcpu_id, registers, fault);
  for (ComingAccess& access : accesses_.coming(event.vcpu_id, registers, fault).all) {
    access.event.registers = registers;
    told.push_back(std::move(access.event));
  }
  if (!told.empty()) hold();
  std::move(told.begin(), told.end(), std::back_inserter(events_));
  return VMI_EVENT_RESPONSE_EMULATE;
}

}  // namespace furnace::hypervisor
