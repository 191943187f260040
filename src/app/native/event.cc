#include "app/native/event.h"

namespace furnace::app {

using tenant::Gva;
using tenant::Pid;

tenant::Event outward_event(const wire::Event& event, std::vector<tenant::SyscallArgument>& arguments) {
  tenant::Event told;
  told.identifier = event.identifier();
  told.cr3 = event.cr3();
  told.rip = event.rip();
  told.rbp = event.rbp();
  told.rsp = event.rsp();
  told.rax = event.rax();
  told.rdi = event.rdi();
  told.rsi = event.rsi();
  told.rdx = event.rdx();
  told.r10 = event.r10();
  told.r8 = event.r8();
  told.r9 = event.r9();
  told.vcpu = event.vcpu();
  told.uid = event.uid();
  told.pid = Pid{event.pid()};
  told.ppid = Pid{event.ppid()};
  told.tid = event.tid();
  told.process = event.procname();
  told.address = Gva{event.address()};
  told.access = static_cast<uint8_t>(event.access());
  if (event.has_old_value()) told.old_value = event.old_value();
  if (event.has_new_value()) told.new_value = event.new_value();
  if (event.has_gpa()) told.physical = tenant::Gpa{event.gpa()};
  if (event.has_old_cr3()) told.old_cr3 = event.old_cr3();
  told.lost = event.lost();
  told.timed_out = event.timed_out();
  const wire::SyscallDetails& syscall = event.syscall();
  told.syscall = syscall.number();
  told.syscall_name = syscall.name();
  told.is_return = syscall.is_return();
  told.return_value = syscall.return_value();
  for (const wire::SyscallArgument& each : syscall.argument())
    arguments.push_back({each.name(), each.value(), each.text()});
  told.arguments = arguments;
  told.subject_pid = Pid{event.subject_pid()};
  told.subject_ppid = Pid{event.subject_ppid()};
  told.subject_name = event.subject_name();
  told.text = event.text();
  if (event.has_new_uid()) {
    told.before = tenant::UserIds{event.old_uid(), event.old_euid(), event.old_capabilities()};
    told.after = tenant::UserIds{event.new_uid(), event.new_euid(), event.new_capabilities()};
  }
  if (event.has_exit_status()) told.exit_status = event.exit_status();
  return told;
}

}  // namespace furnace::app
