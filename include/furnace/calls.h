// The calls of the VMI partition (docs/calls.md) as functions: calls::read_64_va(host, address, Pid::Kernel).
// `furnace calls --header` prints them from the table of calls. Events have Host::on_event, structures
// Host::offset.
//
// Text and bytes are both std::string. A call fails as Host::call does, with the reason.
#pragma once

#include <array>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "furnace/app.h"

namespace furnace::tenant::calls {
namespace detail {

inline Argument argument(uint64_t number) {
  return number;
}
inline Argument argument(std::string_view text) {
  return text;
}
inline Argument argument(Gva address) {
  return address.value;
}
inline Argument argument(Gpa address) {
  return address.value;
}
inline Argument argument(Pid pid) {
  return static_cast<uint64_t>(static_cast<int32_t>(pid));
}

template <typename... Types>
Result<Value> call(Host& host, std::string_view name, Types... arguments) {
  const std::array<Argument, sizeof...(Types)> all{argument(arguments)...};
  return host.call(name, all);
}

inline Status status(Result<Value> answer) {
  return answer ? Status() : tl::unexpected<Error>(std::move(answer.error()));
}

template <typename T>
Result<T> value(Result<Value> answer) {
  if (!answer) return tl::unexpected<Error>(std::move(answer.error()));
  if (T* const found = std::get_if<T>(&*answer)) return std::move(*found);
  return tl::unexpected<Error>(Error{"the answer has no such value", ErrorCode::Failed});
}

}  // namespace detail

// Printed by `furnace calls --header`:
/// Starts the delivery of this app's events.
[[nodiscard]] inline Status events_start(Host& host) {
  return detail::status(detail::call(host, "events_start"));
}
/// Stops the delivery of this app's events.
[[nodiscard]] inline Status events_stop(Host& host) {
  return detail::status(detail::call(host, "events_stop"));
}
/// How guest memory is reached (LibVMI's vmi_mode_t: 0 Xen, 1 QEMU/KVM, 2 file).
[[nodiscard]] inline Result<uint64_t> get_access_mode(Host& host) {
  return detail::value<uint64_t>(detail::call(host, "get_access_mode"));
}
/// The guest's memory in bytes.
[[nodiscard]] inline Result<uint64_t> get_memsize(Host& host) {
  return detail::value<uint64_t>(detail::call(host, "get_memsize"));
}
/// The VM's name.
[[nodiscard]] inline Result<std::string> get_name(Host& host) {
  return detail::value<std::string>(detail::call(host, "get_name"));
}
/// A well-known offset: linux_tasks, linux_name, linux_pid, linux_mm, linux_pgd.
[[nodiscard]] inline Result<uint64_t> get_offset(Host& host, std::string_view symbol) {
  return detail::value<uint64_t>(detail::call(host, "get_offset", symbol));
}
/// The guest's operating system by LibVMI's name: 'VMI_OS_LINUX'.
[[nodiscard]] inline Result<std::string> get_ostype(Host& host) {
  return detail::value<std::string>(detail::call(host, "get_ostype"));
}
/// The guest's paging mode by LibVMI's name: 'VMI_PM_IA32E' (4 or 5 levels).
[[nodiscard]] inline Result<std::string> get_page_mode(Host& host) {
  return detail::value<std::string>(detail::call(host, "get_page_mode"));
}
/// A register of a vCPU by name: 'rip', 'cr3', 'gs_base', ...
[[nodiscard]] inline Result<uint64_t> get_vcpureg(Host& host, std::string_view reg, uint64_t vcpu = 0) {
  return detail::value<uint64_t>(detail::call(host, "get_vcpureg", reg, vcpu));
}
/// The hypervisor's number for the VM (QEMU: its process id).
[[nodiscard]] inline Result<uint64_t> get_vmid(Host& host) {
  return detail::value<uint64_t>(detail::call(host, "get_vmid"));
}
/// The Windows version; fails for other guests.
[[nodiscard]] inline Result<uint64_t> get_winver(Host& host) {
  return detail::value<uint64_t>(detail::call(host, "get_winver"));
}
/// The Windows version as text; fails for other guests.
[[nodiscard]] inline Result<std::string> get_winver_str(Host& host) {
  return detail::value<std::string>(detail::call(host, "get_winver_str"));
}
/// The byte offset of a member of a kernel structure. A nested member is 'a.b'.
[[nodiscard]] inline Result<uint64_t> lookup_structure(Host& host, std::string_view structure_name,
                                                       std::string_view structure_key) {
  return detail::value<uint64_t>(detail::call(host, "lookup_structure", structure_name, structure_key));
}
/// A kernel symbol's address in the running guest.
[[nodiscard]] inline Result<uint64_t> lookup_symbol(Host& host, std::string_view symbol_name) {
  return detail::value<uint64_t>(detail::call(host, "lookup_symbol", symbol_name));
}
/// Pauses the VM. Pauses are counted: each one needs a resume_vm.
[[nodiscard]] inline Status pause_vm(Host& host) {
  return detail::status(detail::call(host, "pause_vm"));
}
/// Reads the unsigned number at an address.
[[nodiscard]] inline Result<uint64_t> read_16_ksym(Host& host, std::string_view symbol) {
  return detail::value<uint64_t>(detail::call(host, "read_16_ksym", symbol));
}
/// Reads the unsigned number at an address.
[[nodiscard]] inline Result<uint64_t> read_16_pa(Host& host, Gpa paddr) {
  return detail::value<uint64_t>(detail::call(host, "read_16_pa", paddr));
}
/// Reads the unsigned number at an address.
[[nodiscard]] inline Result<uint64_t> read_16_va(Host& host, Gva vaddr, Pid pid) {
  return detail::value<uint64_t>(detail::call(host, "read_16_va", vaddr, pid));
}
/// Reads the unsigned number at an address.
[[nodiscard]] inline Result<uint64_t> read_32_ksym(Host& host, std::string_view symbol) {
  return detail::value<uint64_t>(detail::call(host, "read_32_ksym", symbol));
}
/// Reads the unsigned number at an address.
[[nodiscard]] inline Result<uint64_t> read_32_pa(Host& host, Gpa paddr) {
  return detail::value<uint64_t>(detail::call(host, "read_32_pa", paddr));
}
/// Reads the unsigned number at an address.
[[nodiscard]] inline Result<uint64_t> read_32_va(Host& host, Gva vaddr, Pid pid) {
  return detail::value<uint64_t>(detail::call(host, "read_32_va", vaddr, pid));
}
/// Reads the unsigned number at an address.
[[nodiscard]] inline Result<uint64_t> read_64_ksym(Host& host, std::string_view symbol) {
  return detail::value<uint64_t>(detail::call(host, "read_64_ksym", symbol));
}
/// Reads the unsigned number at an address.
[[nodiscard]] inline Result<uint64_t> read_64_pa(Host& host, Gpa paddr) {
  return detail::value<uint64_t>(detail::call(host, "read_64_pa", paddr));
}
/// Reads the unsigned number at an address.
[[nodiscard]] inline Result<uint64_t> read_64_va(Host& host, Gva vaddr, Pid pid) {
  return detail::value<uint64_t>(detail::call(host, "read_64_va", vaddr, pid));
}
/// Reads the unsigned number at an address.
[[nodiscard]] inline Result<uint64_t> read_8_ksym(Host& host, std::string_view symbol) {
  return detail::value<uint64_t>(detail::call(host, "read_8_ksym", symbol));
}
/// Reads the unsigned number at an address.
[[nodiscard]] inline Result<uint64_t> read_8_pa(Host& host, Gpa paddr) {
  return detail::value<uint64_t>(detail::call(host, "read_8_pa", paddr));
}
/// Reads the unsigned number at an address.
[[nodiscard]] inline Result<uint64_t> read_8_va(Host& host, Gva vaddr, Pid pid) {
  return detail::value<uint64_t>(detail::call(host, "read_8_va", vaddr, pid));
}
/// Reads the pointer at an address, as wide as the guest's pointers.
[[nodiscard]] inline Result<uint64_t> read_addr_ksym(Host& host, std::string_view symbol) {
  return detail::value<uint64_t>(detail::call(host, "read_addr_ksym", symbol));
}
/// Reads the pointer at an address, as wide as the guest's pointers.
[[nodiscard]] inline Result<uint64_t> read_addr_pa(Host& host, Gpa paddr) {
  return detail::value<uint64_t>(detail::call(host, "read_addr_pa", paddr));
}
/// Reads the pointer at an address, as wide as the guest's pointers.
[[nodiscard]] inline Result<uint64_t> read_addr_va(Host& host, Gva vaddr, Pid pid) {
  return detail::value<uint64_t>(detail::call(host, "read_addr_va", vaddr, pid));
}
/// Reads count bytes from an address. Returns fewer, and fails, if pages are missing.
[[nodiscard]] inline Result<std::string> read_ksym(Host& host, std::string_view symbol, uint64_t count) {
  return detail::value<std::string>(detail::call(host, "read_ksym", symbol, count));
}
/// Reads count bytes from an address. Returns fewer, and fails, if pages are missing.
[[nodiscard]] inline Result<std::string> read_pa(Host& host, Gpa paddr, uint64_t count) {
  return detail::value<std::string>(detail::call(host, "read_pa", paddr, count));
}
/// Reads the text at an address up to its NUL, at most 4096 bytes, as UTF-8.
[[nodiscard]] inline Result<std::string> read_str_ksym(Host& host, std::string_view symbol) {
  return detail::value<std::string>(detail::call(host, "read_str_ksym", symbol));
}
/// Reads the text at an address up to its NUL, at most 4096 bytes, as UTF-8.
[[nodiscard]] inline Result<std::string> read_str_pa(Host& host, Gpa paddr) {
  return detail::value<std::string>(detail::call(host, "read_str_pa", paddr));
}
/// Reads the text at an address up to its NUL, at most 4096 bytes, as UTF-8.
[[nodiscard]] inline Result<std::string> read_str_va(Host& host, Gva vaddr, Pid pid) {
  return detail::value<std::string>(detail::call(host, "read_str_va", vaddr, pid));
}
/// Reads count bytes from an address. Returns fewer, and fails, if pages are missing.
[[nodiscard]] inline Result<std::string> read_va(Host& host, Gva vaddr, Pid pid, uint64_t count) {
  return detail::value<std::string>(detail::call(host, "read_va", vaddr, pid, count));
}
/// Undoes one pause_vm.
[[nodiscard]] inline Status resume_vm(Host& host) {
  return detail::status(detail::call(host, "resume_vm"));
}
/// Returns 1 while the VMI partition serves.
[[nodiscard]] inline Result<uint64_t> status(Host& host) {
  return detail::value<uint64_t>(detail::call(host, "status"));
}
/// A kernel symbol's address in the running guest.
[[nodiscard]] inline Result<uint64_t> translate_ksym2v(Host& host, std::string_view symbol) {
  return detail::value<uint64_t>(detail::call(host, "translate_ksym2v", symbol));
}
/// The physical address of a kernel address.
[[nodiscard]] inline Result<uint64_t> translate_kv2p(Host& host, Gva vaddr) {
  return detail::value<uint64_t>(detail::call(host, "translate_kv2p", vaddr));
}
/// The physical address of an address of a process.
[[nodiscard]] inline Result<uint64_t> translate_uv2p(Host& host, Gva vaddr, Pid pid) {
  return detail::value<uint64_t>(detail::call(host, "translate_uv2p", vaddr, pid));
}
/// Writes a number to an address.
[[nodiscard]] inline Status write_16_ksym(Host& host, std::string_view symbol, uint64_t value) {
  return detail::status(detail::call(host, "write_16_ksym", symbol, value));
}
/// Writes a number to an address.
[[nodiscard]] inline Status write_16_pa(Host& host, Gpa paddr, uint64_t value) {
  return detail::status(detail::call(host, "write_16_pa", paddr, value));
}
/// Writes a number to an address.
[[nodiscard]] inline Status write_16_va(Host& host, Gva vaddr, Pid pid, uint64_t value) {
  return detail::status(detail::call(host, "write_16_va", vaddr, pid, value));
}
/// Writes a number to an address.
[[nodiscard]] inline Status write_32_ksym(Host& host, std::string_view symbol, uint64_t value) {
  return detail::status(detail::call(host, "write_32_ksym", symbol, value));
}
/// Writes a number to an address.
[[nodiscard]] inline Status write_32_pa(Host& host, Gpa paddr, uint64_t value) {
  return detail::status(detail::call(host, "write_32_pa", paddr, value));
}
/// Writes a number to an address.
[[nodiscard]] inline Status write_32_va(Host& host, Gva vaddr, Pid pid, uint64_t value) {
  return detail::status(detail::call(host, "write_32_va", vaddr, pid, value));
}
/// Writes a number to an address.
[[nodiscard]] inline Status write_64_ksym(Host& host, std::string_view symbol, uint64_t value) {
  return detail::status(detail::call(host, "write_64_ksym", symbol, value));
}
/// Writes a number to an address.
[[nodiscard]] inline Status write_64_pa(Host& host, Gpa paddr, uint64_t value) {
  return detail::status(detail::call(host, "write_64_pa", paddr, value));
}
/// Writes a number to an address.
[[nodiscard]] inline Status write_64_va(Host& host, Gva vaddr, Pid pid, uint64_t value) {
  return detail::status(detail::call(host, "write_64_va", vaddr, pid, value));
}
/// Writes a number to an address.
[[nodiscard]] inline Status write_8_ksym(Host& host, std::string_view symbol, uint64_t value) {
  return detail::status(detail::call(host, "write_8_ksym", symbol, value));
}
/// Writes a number to an address.
[[nodiscard]] inline Status write_8_pa(Host& host, Gpa paddr, uint64_t value) {
  return detail::status(detail::call(host, "write_8_pa", paddr, value));
}
/// Writes a number to an address.
[[nodiscard]] inline Status write_8_va(Host& host, Gva vaddr, Pid pid, uint64_t value) {
  return detail::status(detail::call(host, "write_8_va", vaddr, pid, value));
}
/// Writes bytes to an address. Returns how many were written.
[[nodiscard]] inline Result<uint64_t> write_ksym(Host& host, std::string_view symbol,
                                                 std::string_view buffer) {
  return detail::value<uint64_t>(detail::call(host, "write_ksym", symbol, buffer));
}
/// Writes bytes to an address. Returns how many were written.
[[nodiscard]] inline Result<uint64_t> write_pa(Host& host, Gpa paddr, std::string_view buffer) {
  return detail::value<uint64_t>(detail::call(host, "write_pa", paddr, buffer));
}
/// Writes bytes to an address. Returns how many were written.
[[nodiscard]] inline Result<uint64_t> write_va(Host& host, Gva vaddr, Pid pid, std::string_view buffer) {
  return detail::value<uint64_t>(detail::call(host, "write_va", vaddr, pid, buffer));
}
/// The guest's processes.
[[nodiscard]] inline Result<std::vector<ProcessEntry>> process_list(Host& host) {
  return detail::value<std::vector<ProcessEntry>>(detail::call(host, "process_list"));
}
// The end of what `furnace calls --header` prints.

}  // namespace furnace::tenant::calls
