#include "vmi/events/event_message.h"

#include <array>

#include "guest/linux/syscalls.h"

namespace furnace::vmi {
namespace {

using hypervisor::Reg;

struct RegisterField {
  Reg reg;
  void (wire::Event::*set)(uint64_t);
};
/// The driver gives them with every event (kOfEveryEvent).
constexpr std::array kRegisters = {
    RegisterField{Reg::Cr3, &wire::Event::set_cr3}, RegisterField{Reg::Rip, &wire::Event::set_rip},
    RegisterField{Reg::Rbp, &wire::Event::set_rbp}, RegisterField{Reg::Rsp, &wire::Event::set_rsp},
    RegisterField{Reg::Rdi, &wire::Event::set_rdi}, RegisterField{Reg::Rsi, &wire::Event::set_rsi},
    RegisterField{Reg::Rdx, &wire::Event::set_rdx}, RegisterField{Reg::Rax, &wire::Event::set_rax},
    RegisterField{Reg::R10, &wire::Event::set_r10}, RegisterField{Reg::R8, &wire::Event::set_r8},
    RegisterField{Reg::R9, &wire::Event::set_r9},
};

void describe_syscall(const Occurrence& occurrence, wire::SyscallDetails& details) {
  details.set_number(*occurrence.syscall);
  details.set_name(guest::syscall_name(*occurrence.syscall));
  if (occurrence.is_return) {
    details.set_is_return(true);
    details.set_return_value(occurrence.return_value);
  }
  for (const Occurrence::Argument& each : occurrence.arguments) {
    wire::SyscallArgument& argument = *details.add_argument();
    argument.set_name(each.name.data(), each.name.size());
    argument.set_value(each.value);
    if (!each.path.empty()) argument.set_text(each.path);
  }
}

}  // namespace

void describe(const Occurrence& occurrence, const EventType& type, wire::Event& event) {
  event.set_kind(type.number);
  event.set_vcpu(occurrence.vcpu);
  for (const RegisterField& field : kRegisters)
    (event.*field.set)(occurrence.registers.get(field.reg).value_or(0));
  if (occurrence.process) {
    event.set_pid(occurrence.process->pid);
    event.set_ppid(occurrence.process->ppid);
    event.set_uid(occurrence.process->uid);
    event.set_procname(occurrence.process->name);
    event.set_tid(occurrence.thread);
  }
  if (occurrence.address.value != 0) event.set_address(occurrence.address.value);
  if (occurrence.access != 0) event.set_access(occurrence.access);
  if (occurrence.old_value) event.set_old_value(*occurrence.old_value);
  if (occurrence.new_value) event.set_new_value(*occurrence.new_value);
  if (occurrence.old_cr3) event.set_old_cr3(*occurrence.old_cr3);
  if (occurrence.syscall) describe_syscall(occurrence, *event.mutable_syscall());
  if (occurrence.subject) {
    event.set_subject_pid(occurrence.subject->pid);
    event.set_subject_ppid(occurrence.subject->ppid);
    event.set_subject_name(occurrence.subject->name);
  }
  if (!occurrence.text.empty()) event.set_text(occurrence.text);
  if (occurrence.credentials) {
    const auto& [before, after] = *occurrence.credentials;
    event.set_old_uid(before.uid);
    event.set_old_euid(before.euid);
    event.set_old_capabilities(before.capabilities);
    event.set_new_uid(after.uid);
    event.set_new_euid(after.euid);
    event.set_new_capabilities(after.capabilities);
  }
  if (occurrence.exit_status) event.set_exit_status(*occurrence.exit_status);
}

}  // namespace furnace::vmi
