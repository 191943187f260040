#include "vmi/events/event_reader.h"

#include <array>

#include "base/bytes.h"
#include "base/enum_table.h"
#include "guest/linux/code.h"
#include "guest/linux/syscalls.h"

namespace furnace::vmi {

using guest::Gva;
using guest::Kernel;
using guest::LinuxGuest;
using hypervisor::Reg;
using hypervisor::Registers;

namespace {

constexpr size_t kMaxPath = 4096;       // PATH_MAX
constexpr size_t kModuleName = 56;      // MODULE_NAME_LEN, include/linux/module.h
constexpr size_t kMaxEnded = 32 << 10;  // ended processes that are remembered: all pids there are by default
constexpr size_t kMaxTraced = 128 << 10;  // tasks in system calls

constexpr std::array kArgumentRegisters = {Reg::Rdi, Reg::Rsi, Reg::Rdx, Reg::R10, Reg::R8, Reg::R9};

/// struct pt_regs (arch/x86/include/asm/ptrace.h). It has RAX twice: as the kernel leaves it, and on entry.
constexpr std::array kPtRegs = {Reg::R15, Reg::R14, Reg::R13, Reg::R12, Reg::Rbp,    Reg::Rbx, Reg::R11,
                                Reg::R10, Reg::R9,  Reg::R8,  Reg::Rax, Reg::Rcx,    Reg::Rdx, Reg::Rsi,
                                Reg::Rdi, Reg::Rax, Reg::Rip, Reg::Cs,  Reg::Rflags, Reg::Rsp, Reg::Ss};
constexpr size_t kAx = 10, kOrigAx = 15;
using PtRegs = std::array<uint64_t, kPtRegs.size()>;

/// Those of the user, which the kernel has saved: `pointer` points to them.
Result<PtRegs> pt_regs(const LinuxGuest& guest, const Registers& registers, Reg pointer = Reg::Rdi) {
  FURNACE_TRY(const uint64_t at, registers.need(pointer));
  return guest.kernel_space().read<PtRegs>(Gva{at});
}

/// The first argument of the kernel function that is entered.
Result<uint64_t> argument(const Occurrence& occurrence) {
  return occurrence.registers.need(Reg::Rdi);
}

}  // namespace

Occurrence EventReader::begin(const hypervisor::GuestEvent& event) const {
  Occurrence occurrence;
  occurrence.vcpu = event.vcpu;
  occurrence.registers = event.registers;
  occurrence.address = event.address;
  occurrence.access = event.access;
  occurrence.old_value = event.old_value;
  occurrence.new_value = event.new_value;
  const auto guest = machine_.linux_guest();
  if (!guest) return occurrence;
  if (event.kernel) take_over(*event.kernel, **guest, occurrence);
  const auto task = (*guest)->current_task(event.vcpu);
  if (!task) return occurrence;
  if (auto process = (*guest)->process_of(*task)) occurrence.process = *std::move(process);
  occurrence.thread = (*guest)->thread_id(*task).value_or(0);
  return occurrence;
}

void EventReader::take_over(const hypervisor::KernelEvent& known, const LinuxGuest& guest,
                            Occurrence& occurrence) {
  if (auto subject = guest.process_of(known.subject); known.subject != Gva{} && subject)
    occurrence.subject = *subject;
  occurrence.address = known.subject;
  occurrence.text = known.text;
  occurrence.known = known;
}

/// Of an event whose meaning the driver knows.
Result<bool> EventReader::complete_known(guest::Trace trace, Occurrence& occurrence) {
  const hypervisor::KernelEvent& known = *occurrence.known;
  if (trace == guest::Trace::SyscallExit) {
    occurrence.syscall = static_cast<uint32_t>(known.number);
    occurrence.is_return = true;
    occurrence.return_value = known.return_value;
  }
  if (trace == guest::Trace::ProcessExited) occurrence.exit_status = known.exit_status;
  if (trace == guest::Trace::CredentialsChanged)
    occurrence.credentials = {{known.old_uid, known.old_uid, 0}, {known.new_uid, known.new_uid, 0}};
  return true;
}

Result<bool> EventReader::complete(const HowSeen& seen, Occurrence& occurrence) {
  if (occurrence.known) return complete_known(seen.trace, occurrence);
  using guest::Trace;
  constexpr EnumTable<Trace, Reader> readers({
      {Trace::AddressSpaceSwitch, &EventReader::address_space_switch},
      {Trace::SyscallEntry, &EventReader::syscall_entry},
      {Trace::SyscallExit, &EventReader::syscall_return},
      {Trace::ProcessCreated, &EventReader::process_created},
      {Trace::ProcessExecuted, &EventReader::process_executed},
      {Trace::ProcessExited, &EventReader::process_exited},
      {Trace::CredentialsChanged, &EventReader::credentials_changed},
      {Trace::ModuleLoaded, &EventReader::module_loaded},
  });
  FURNACE_TRY(const Kernel* kernel, machine_.kernel());
  FURNACE_TRY(const LinuxGuest* guest, machine_.linux_guest());
  return (this->*readers[seen.trace])({*kernel, *guest}, seen, occurrence);
}

Result<bool> EventReader::address_space_switch(const Running& running, const HowSeen& seen,
                                               Occurrence& occurrence) {
  uint64_t now = occurrence.registers.cr3();
  uint64_t& last = roots_[occurrence.vcpu];
  if (seen.at_instruction) {  // which has not run yet
    const std::string source =
        guest::cr3_source(running.guest.kernel_space(), Gva{occurrence.registers.rip()});
    if (source.empty()) return false;
    const auto reg = hypervisor::register_named(source);
    if (!reg) return fail(Errc::Failed, "the kernel writes CR3 from '{}', which is no register", source);
    last = now;
    FURNACE_TRY(now, occurrence.registers.need(*reg));
    if (guest::root_of(last) == guest::root_of(now)) return false;  // only flushes translations
    occurrence.registers.set(Reg::Cr3, now);
  }
  if (last != 0) occurrence.old_cr3 = last;
  last = now;
  return true;
}

Result<bool> EventReader::syscall_entry(const Running& running, const HowSeen& seen, Occurrence& occurrence) {
  Registers& registers = occurrence.registers;
  if (seen.at_instruction) {
    // do_syscall_64 got the number first and the registers second until 5.13; they are in the kernel's half.
    FURNACE_TRY(const uint64_t first, registers.need(Reg::Rdi));
    FURNACE_TRY(const PtRegs user,
                pt_regs(running.guest, registers, (first >> 63U) != 0 ? Reg::Rdi : Reg::Rsi));
    for (size_t i = 0; i < user.size(); ++i)
      if (i != kAx) registers.set(kPtRegs.at(i), user.at(i));
  } else if (!seen.by_driver) {
    // The SYSCALL instruction keeps the user's rip and rflags there (Intel SDM volume 2).
    FURNACE_TRY(const uint64_t rip, registers.need(Reg::Rcx));
    FURNACE_TRY(const uint64_t rflags, registers.need(Reg::R11));
    registers.set(Reg::Rip, rip);
    registers.set(Reg::Rflags, rflags);
  }
  occurrence.syscall = static_cast<uint32_t>(registers.rax());
  constexpr uint32_t exit = 60, exit_group = 231;  // which don't return
  if (!occurrence.process || occurrence.syscall == exit || occurrence.syscall == exit_group) return true;
  // Tasks that were killed in a system call are never heard of again.
  if (in_syscall_.size() >= kMaxTraced) in_syscall_.clear();
  in_syscall_[occurrence.thread] = *occurrence.syscall;
  return true;
}

Result<bool> EventReader::syscall_return(const Running& running, const HowSeen&, Occurrence& occurrence) {
  const auto entered = in_syscall_.find(occurrence.thread);
  if (entered == in_syscall_.end()) return false;
  const auto pointer = hypervisor::register_named(
      guest::registers_at_exit(running.kernel, running.guest, Gva{occurrence.registers.rip()}));
  FURNACE_TRY(const PtRegs user, pt_regs(running.guest, occurrence.registers, pointer.value_or(Reg::Rdi)));
  const uint32_t number = entered->second;
  in_syscall_.erase(entered);
  // A new task comes out of a system call that its parent entered.
  if (static_cast<uint32_t>(user[kOrigAx]) != number) return false;
  for (size_t i = 0; i < user.size(); ++i)
    if (i != kOrigAx) occurrence.registers.set(kPtRegs.at(i), user.at(i));
  occurrence.syscall = number;
  occurrence.is_return = true;
  occurrence.return_value = static_cast<int64_t>(user[kAx]);
  return true;
}

Result<bool> EventReader::process_created(const Running& running, const HowSeen& seen,
                                          Occurrence& occurrence) {
  Gva task;
  if (seen.at_instruction) {
    FURNACE_TRY(task.value, argument(occurrence));
  } else {
    FURNACE_TRY(task, running.guest.newest_task());
  }
  FURNACE_TRY(const int32_t thread, running.guest.thread_id(task));
  FURNACE_TRY(auto created, running.guest.process_of(task));
  if (thread != created.pid) return false;  // one more thread of a process
  occurrence.subject = std::move(created);
  return true;
}

Result<bool> EventReader::process_executed(const Running& running, const HowSeen&, Occurrence& occurrence) {
  FURNACE_TRY(const uint64_t filename, running.kernel.member("linux_binprm", "filename"));
  FURNACE_TRY(const uint64_t program, argument(occurrence));
  FURNACE_TRY(const uint64_t text, running.guest.kernel_space().read<uint64_t>(Gva{program} + filename));
  FURNACE_TRY(const std::string path, running.guest.kernel_space().read_string(Gva{text}, kMaxPath));
  occurrence.text = valid_utf8(path);
  return true;
}

Result<bool> EventReader::process_exited(const Running& running, const HowSeen& seen,
                                         Occurrence& occurrence) {
  // disassociate_ctty is called with 1 at the end of a process, with 0 when a process gives its terminal up.
  if (seen.at_instruction) {
    FURNACE_TRY(const uint64_t at_end, argument(occurrence));
    if (static_cast<uint32_t>(at_end) == 0) return false;
  }
  if (!occurrence.process) return false;
  const auto& space = running.guest.kernel_space();
  FURNACE_TRY(const Gva task, running.guest.current_task(occurrence.vcpu));
  if (!seen.at_instruction) {
    constexpr uint32_t exiting = 0x4;  // PF_EXITING, include/linux/sched.h
    FURNACE_TRY(const uint32_t flags, space.read<uint32_t>(task + running.guest.layout().flags));
    if ((flags & exiting) == 0) return false;
    FURNACE_TRY(const uint64_t signal_member, running.kernel.member("task_struct", "signal"));
    FURNACE_TRY(const uint64_t live_member, running.kernel.member("signal_struct", "live"));
    FURNACE_TRY(const uint64_t signal, space.read<uint64_t>(task + signal_member));
    FURNACE_TRY(const int32_t live, space.read<int32_t>(Gva{signal} + live_member));
    if (live != 0) return false;  // other threads run on
    // It may be interrupted before it has got to the place that is meant, which is after the loss of its
    // memory.
    if (occurrence.process->mm != Gva{} && !occurrence.process->kernel_thread) return false;
    // The places that are watched are passed again on the way out.
    if (!ended_.emplace(occurrence.process->pid, occurrence.process->start_ns).second) return false;
    while (ended_.size() > kMaxEnded) ended_.erase(ended_.begin());
  }
  FURNACE_TRY(const uint64_t exit_code, running.kernel.member("task_struct", "exit_code"));
  FURNACE_TRY(occurrence.exit_status, space.read<int32_t>(task + exit_code));
  return true;
}

Result<bool> EventReader::credentials_changed(const Running& running, const HowSeen&,
                                              Occurrence& occurrence) {
  FURNACE_TRY(const uint64_t uid, running.kernel.member("cred", "uid"));
  FURNACE_TRY(const uint64_t euid, running.kernel.member("cred", "euid"));
  FURNACE_TRY(const uint64_t capabilities, running.kernel.member("cred", "cap_effective"));
  const auto& space = running.guest.kernel_space();
  const auto read = [&](Gva cred) -> Result<Occurrence::Credentials> {
    Occurrence::Credentials credentials;
    FURNACE_TRY(credentials.uid, space.read<uint32_t>(cred + uid));
    FURNACE_TRY(credentials.euid, space.read<uint32_t>(cred + euid));
    FURNACE_TRY(credentials.capabilities, space.read<uint64_t>(cred + capabilities));
    return credentials;
  };
  FURNACE_TRY(const Gva task, running.guest.current_task(occurrence.vcpu));
  FURNACE_TRY(const uint64_t current, space.read<uint64_t>(task + running.guest.layout().cred));
  FURNACE_TRY(const auto before, read(Gva{current}));
  FURNACE_TRY(const uint64_t changed, argument(occurrence));
  FURNACE_TRY(const auto after, read(Gva{changed}));
  if (before == after) return false;
  occurrence.credentials = {before, after};
  return true;
}

Result<bool> EventReader::module_loaded(const Running& running, const HowSeen&, Occurrence& occurrence) {
  FURNACE_TRY(const uint64_t name, running.kernel.member("module", "name"));
  FURNACE_TRY(const uint64_t module, argument(occurrence));
  FURNACE_TRY(const std::string text,
              running.guest.kernel_space().read_string(Gva{module} + name, kModuleName));
  occurrence.text = valid_utf8(text);
  occurrence.address = Gva{module};
  return true;
}

void EventReader::name_arguments(Occurrence& occurrence) const {
  if (!occurrence.syscall || occurrence.is_return) return;
  static const std::vector<guest::SyscallParameter> unnamed{{"arg0"}, {"arg1"}, {"arg2"},
                                                            {"arg3"}, {"arg4"}, {"arg5"}};
  const auto known = guest::syscall_parameters(guest::syscall_name(*occurrence.syscall));
  const auto parameters = known.value_or(unnamed);
  const auto guest = machine_.linux_guest();
  std::optional<guest::AddressSpace> space;
  for (size_t i = 0; i < parameters.size() && i < kArgumentRegisters.size(); ++i) {
    const auto value = occurrence.registers.get(kArgumentRegisters.at(i));
    if (!value) break;
    Occurrence::Argument named{parameters[i].name, *value, {}};
    if (parameters[i].is_path && guest && occurrence.process) {
      if (!space)
        if (auto found = (*guest)->space_of(*occurrence.process)) space.emplace(*found);
      if (space)
        if (const auto path = space->read_string(Gva{named.value}, kMaxPath)) named.path = valid_utf8(*path);
    }
    occurrence.arguments.push_back(std::move(named));
  }
}

}  // namespace furnace::vmi
