#include "protocol/calls.h"

#include <algorithm>
#include <array>

#include "base/enum_table.h"
#include "vmi.pb.h"

namespace furnace::protocol {
namespace {

using T = wire::VmiMessage;

constexpr std::string_view kReadNumber = "Reads the unsigned number at an address.";
constexpr std::string_view kReadAddr = "Reads the pointer at an address, as wide as the guest's pointers.";
constexpr std::string_view kReadStr =
    "Reads the text at an address up to its NUL, at most 4096 bytes, as UTF-8.";
constexpr std::string_view kRead =
    "Reads count bytes from an address. Returns fewer, and fails, if pages are missing.";
constexpr std::string_view kWriteNumber = "Writes a number to an address.";
constexpr std::string_view kWrite = "Writes bytes to an address. Returns how many were written.";

constexpr Call read_number(int32_t type, std::string_view name, Target target, uint8_t width,
                           std::string_view arguments) {
  return {type,
          name,
          Verb::ReadNumber,
          target,
          width,
          arguments,
          Needs::Nothing,
          AnswerKind::Number,
          width == 0 ? kReadAddr : kReadNumber};
}
constexpr Call read_text(int32_t type, std::string_view name, Target target, std::string_view arguments) {
  return {type, name, Verb::ReadString, target, 0, arguments, Needs::Nothing, AnswerKind::Text, kReadStr};
}
constexpr Call read_bytes(int32_t type, std::string_view name, Target target, std::string_view arguments) {
  return {type, name, Verb::ReadBytes, target, 0, arguments, Needs::Nothing, AnswerKind::Bytes, kRead};
}
constexpr Call write_number(int32_t type, std::string_view name, Target target, uint8_t width,
                            std::string_view arguments) {
  return {type,      name,         Verb::WriteNumber,  target,      width,
          arguments, Needs::Write, AnswerKind::Status, kWriteNumber};
}
constexpr Call write_bytes(int32_t type, std::string_view name, Target target, std::string_view arguments) {
  return {type, name, Verb::WriteBytes, target, 0, arguments, Needs::Write, AnswerKind::Written, kWrite};
}
constexpr Call plain(int32_t type, std::string_view name, Verb verb, std::string_view arguments, Needs needs,
                     AnswerKind answer, std::string_view summary) {
  return {type, name, verb, Target::None, 0, arguments, needs, answer, summary};
}

constexpr Target kPa = Target::Physical;
constexpr Target kVa = Target::Virtual;
constexpr Target kKsym = Target::Symbol;

// clang-format off
constexpr std::array kCalls = {
    plain(T::EVENT_CLEAR, "event_clear", Verb::EventClear, "identifier", Needs::Nothing, AnswerKind::Identifier, "Removes a registered event."),
    plain(T::EVENT_REGISTER, "event_register", Verb::EventRegister, "event_type sync_state reg_value bp_addr bp_pid bp_name gva length access uid number returns notices gathers gpa", Needs::Events, AnswerKind::Identifier, "Registers an event; returns its identifier."),
    plain(T::EVENTS_START, "events_start", Verb::EventsStart, "", Needs::Nothing, AnswerKind::Status, "Starts the delivery of this app's events."),
    plain(T::EVENTS_STOP, "events_stop", Verb::EventsStop, "", Needs::Nothing, AnswerKind::Status, "Stops the delivery of this app's events."),
    plain(T::GET_ACCESS_MODE, "get_access_mode", Verb::GetAccessMode, "", Needs::Nothing, AnswerKind::Number, "How guest memory is reached (LibVMI's vmi_mode_t: 0 Xen, 1 QEMU/KVM, 2 file)."),
    plain(T::GET_MEMSIZE, "get_memsize", Verb::GetMemsize, "", Needs::Nothing, AnswerKind::Number, "The guest's memory in bytes."),
    plain(T::GET_NAME, "get_name", Verb::GetName, "", Needs::Nothing, AnswerKind::Text, "The VM's name."),
    plain(T::GET_OFFSET, "get_offset", Verb::GetOffset, "symbol", Needs::Nothing, AnswerKind::Number, "A well-known offset: linux_tasks, linux_name, linux_pid, linux_mm, linux_pgd."),
    plain(T::GET_OSTYPE, "get_ostype", Verb::GetOstype, "", Needs::Nothing, AnswerKind::Text, "The guest's operating system by LibVMI's name: 'VMI_OS_LINUX'."),
    plain(T::GET_PAGE_MODE, "get_page_mode", Verb::GetPageMode, "", Needs::Nothing, AnswerKind::Text, "The guest's paging mode by LibVMI's name: 'VMI_PM_IA32E' (4 or 5 levels)."),
    plain(T::GET_VCPUREG, "get_vcpureg", Verb::GetVcpureg, "reg vcpu", Needs::Nothing, AnswerKind::Number, "A register of a vCPU by name: 'rip', 'cr3', 'gs_base', ..."),
    plain(T::GET_VMID, "get_vmid", Verb::GetVmid, "", Needs::Nothing, AnswerKind::Number, "The hypervisor's number for the VM (QEMU: its process id)."),
    plain(T::GET_WINVER, "get_winver", Verb::GetWinver, "", Needs::Nothing, AnswerKind::Number, "The Windows version; fails for other guests."),
    plain(T::GET_WINVER_STR, "get_winver_str", Verb::GetWinverStr, "", Needs::Nothing, AnswerKind::Text, "The Windows version as text; fails for other guests."),
    plain(T::LOOKUP_STRUCTURE, "lookup_structure", Verb::LookupStructure, "structure_name structure_key", Needs::Nothing, AnswerKind::Number, "The byte offset of a member of a kernel structure. A nested member is 'a.b'."),
    plain(T::LOOKUP_SYMBOL, "lookup_symbol", Verb::LookupSymbol, "symbol_name", Needs::Nothing, AnswerKind::Number, "A kernel symbol's address in the running guest."),
    plain(T::PAUSE_VM, "pause_vm", Verb::PauseVm, "", Needs::Pause, AnswerKind::Status, "Pauses the VM. Pauses are counted: each one needs a resume_vm."),
    read_number(T::READ_16_KSYM, "read_16_ksym", kKsym, 2, "symbol"),
    read_number(T::READ_16_PA, "read_16_pa", kPa, 2, "paddr"),
    read_number(T::READ_16_VA, "read_16_va", kVa, 2, "vaddr pid"),
    read_number(T::READ_32_KSYM, "read_32_ksym", kKsym, 4, "symbol"),
    read_number(T::READ_32_PA, "read_32_pa", kPa, 4, "paddr"),
    read_number(T::READ_32_VA, "read_32_va", kVa, 4, "vaddr pid"),
    read_number(T::READ_64_KSYM, "read_64_ksym", kKsym, 8, "symbol"),
    read_number(T::READ_64_PA, "read_64_pa", kPa, 8, "paddr"),
    read_number(T::READ_64_VA, "read_64_va", kVa, 8, "vaddr pid"),
    read_number(T::READ_8_KSYM, "read_8_ksym", kKsym, 1, "symbol"),
    read_number(T::READ_8_PA, "read_8_pa", kPa, 1, "paddr"),
    read_number(T::READ_8_VA, "read_8_va", kVa, 1, "vaddr pid"),
    read_number(T::READ_ADDR_KSYM, "read_addr_ksym", kKsym, 0, "symbol"),
    read_number(T::READ_ADDR_PA, "read_addr_pa", kPa, 0, "paddr"),
    read_number(T::READ_ADDR_VA, "read_addr_va", kVa, 0, "vaddr pid"),
    read_bytes(T::READ_KSYM, "read_ksym", kKsym, "symbol count"),
    read_bytes(T::READ_PA, "read_pa", kPa, "paddr count"),
    read_text(T::READ_STR_KSYM, "read_str_ksym", kKsym, "symbol"),
    read_text(T::READ_STR_PA, "read_str_pa", kPa, "paddr"),
    read_text(T::READ_STR_VA, "read_str_va", kVa, "vaddr pid"),
    read_bytes(T::READ_VA, "read_va", kVa, "vaddr pid count"),
    plain(T::RESUME_VM, "resume_vm", Verb::ResumeVm, "", Needs::Nothing, AnswerKind::Status, "Undoes one pause_vm."),
    plain(T::STATUS, "status", Verb::Status, "", Needs::Nothing, AnswerKind::Number, "Returns 1 while the VMI partition serves."),
    plain(T::TRANSLATE_KSYM2V, "translate_ksym2v", Verb::TranslateSymbol, "symbol", Needs::Nothing, AnswerKind::Number, "A kernel symbol's address in the running guest."),
    plain(T::TRANSLATE_KV2P, "translate_kv2p", Verb::TranslateKernel, "vaddr", Needs::Nothing, AnswerKind::Number, "The physical address of a kernel address."),
    plain(T::TRANSLATE_UV2P, "translate_uv2p", Verb::TranslateUser, "vaddr pid", Needs::Nothing, AnswerKind::Number, "The physical address of an address of a process."),
    write_number(T::WRITE_16_KSYM, "write_16_ksym", kKsym, 2, "symbol value"),
    write_number(T::WRITE_16_PA, "write_16_pa", kPa, 2, "paddr value"),
    write_number(T::WRITE_16_VA, "write_16_va", kVa, 2, "vaddr pid value"),
    write_number(T::WRITE_32_KSYM, "write_32_ksym", kKsym, 4, "symbol value"),
    write_number(T::WRITE_32_PA, "write_32_pa", kPa, 4, "paddr value"),
    write_number(T::WRITE_32_VA, "write_32_va", kVa, 4, "vaddr pid value"),
    write_number(T::WRITE_64_KSYM, "write_64_ksym", kKsym, 8, "symbol value"),
    write_number(T::WRITE_64_PA, "write_64_pa", kPa, 8, "paddr value"),
    write_number(T::WRITE_64_VA, "write_64_va", kVa, 8, "vaddr pid value"),
    write_number(T::WRITE_8_KSYM, "write_8_ksym", kKsym, 1, "symbol value"),
    write_number(T::WRITE_8_PA, "write_8_pa", kPa, 1, "paddr value"),
    write_number(T::WRITE_8_VA, "write_8_va", kVa, 1, "vaddr pid value"),
    write_bytes(T::WRITE_KSYM, "write_ksym", kKsym, "symbol buffer"),
    write_bytes(T::WRITE_PA, "write_pa", kPa, "paddr buffer"),
    write_bytes(T::WRITE_VA, "write_va", kVa, "vaddr pid buffer"),
    plain(T::PROCESS_LIST, "process_list", Verb::ProcessList, "", Needs::Nothing, AnswerKind::Processes, "The guest's processes."),
    plain(T::START_SYSCALL, "start_syscall", Verb::StartSyscall, "sync_state", Needs::Events, AnswerKind::Identifier, "Starts system-call tracing."),
    plain(T::STOP_SYSCALL, "stop_syscall", Verb::StopSyscall, "", Needs::Nothing, AnswerKind::Status, "Stops system-call tracing."),
    plain(T::DESCRIBE_STRUCTURE, "describe_structure", Verb::DescribeStructure, "structure_name", Needs::Nothing, AnswerKind::Structure, "The layout of a kernel structure: its size and members with offset, size and type."),
};
// clang-format on

}  // namespace

std::span<const Call> calls() {
  return kCalls;
}

const Call* find_call(int32_t number) {
  constexpr size_t numbers = 256;
  // A batch looks up to a thousand of them.
  static constexpr std::array<int16_t, numbers> kRows = [] {
    std::array<int16_t, numbers> rows{};
    rows.fill(-1);
    for (size_t i = 0; i < kCalls.size(); ++i)
      rows[static_cast<size_t>(kCalls[i].number)] = static_cast<int16_t>(i);
    return rows;
  }();
  if (number < 0 || static_cast<size_t>(number) >= numbers) return nullptr;
  const int16_t row = kRows[static_cast<size_t>(number)];
  return row < 0 ? nullptr : &kCalls[static_cast<size_t>(row)];
}

const Call* find_call(std::string_view name) {
  const auto* found =
      std::find_if(kCalls.begin(), kCalls.end(), [&](const Call& call) { return call.name == name; });
  return found != kCalls.end() ? found : nullptr;
}

std::string_view word_of(Needs needs) {
  constexpr EnumTable<Needs, std::string_view> words(
      {{Needs::Nothing, "-"}, {Needs::Write, "write"}, {Needs::Pause, "pause"}, {Needs::Events, "events"}});
  return words[needs];
}

}  // namespace furnace::protocol
