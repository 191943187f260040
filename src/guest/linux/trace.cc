#include "guest/linux/trace.h"

#include <algorithm>
#include <array>

#include "guest/linux/code.h"

namespace furnace::guest {
namespace {

/// A function of the kernel that is entered when something happens.
struct EntryRow {
  Trace what;
  std::string_view function;
};
constexpr std::array kEntries = {
    EntryRow{Trace::SyscallEntry, "do_syscall_64"},       // arch/x86/entry/common.c
    EntryRow{Trace::ProcessCreated, "wake_up_new_task"},  // kernel/sched/core.c, from kernel_clone
    EntryRow{Trace::ProcessExecuted, "finalize_exec"},    // fs/exec.c, when a binary format has loaded
    EntryRow{Trace::ProcessExited,
             "disassociate_ctty"},  // drivers/tty/tty_jobctrl.c, from do_exit of the last thread
    EntryRow{Trace::CredentialsChanged, "commit_creds"},  // kernel/cred.c
    EntryRow{Trace::ModuleLoaded, "do_init_module"},      // kernel/module/main.c
};

/// A variable of each CPU that a function writes when something happens. Where a kind has several, all are
/// watched.
struct VariableRow {
  Trace what;
  std::string_view symbol, structure, member;  ///< of the variable; a number by itself has no structure
  uint64_t length;
  std::string_view function;
};
constexpr std::array kVariables = {
    // The user's stack pointer is saved before anything else (arch/x86/entry/entry_64.S).
    VariableRow{Trace::SyscallEntry, "cpu_tss_rw", "tss_struct", "x86_tss.sp2", 8, "entry_SYSCALL_64"},
    // Written after the load of CR3 (arch/x86/mm/tlb.c), and at no other time.
    VariableRow{Trace::AddressSpaceSwitch, "cpu_tlbstate", "tlb_state", "loaded_mm_asid", 2,
                "switch_mm_irqs_off"},
    // Counted when the new process is the last of the task list (kernel/fork.c).
    VariableRow{Trace::ProcessCreated, "process_counts", "", "", 8, "copy_process"},
    // exit_mm (kernel/exit.c) says that the process's memory is used no more, also at switches to kernel
    // threads.
    VariableRow{Trace::ProcessExited, "cpu_tlbstate_shared", "tlb_state_shared", "is_lazy", 1,
                "enter_lazy_tlb"},
    // Kernel threads have no memory to leave; they release themselves (kernel/exit.c).
    VariableRow{Trace::ProcessExited, "process_counts", "", "", 8, "release_task"},
};

constexpr std::array<std::string_view, 3> kCr3Writers = {"switch_mm_irqs_off", "load_new_mm_cr3",
                                                         "native_write_cr3"};
constexpr std::string_view kSyscallExit = "syscall_exit_to_user_mode";  // kernel/entry/common.c
constexpr size_t kMaxFunction = 32 << 10;                               // bytes that are looked through

Result<std::vector<TracePoint>> points_of_row(const Kernel& kernel, const LinuxGuest& guest,
                                              const VariableRow& row, uint32_t vcpus) {
  FURNACE_TRY(const Gva symbol, kernel.symbol(row.symbol));
  uint64_t offset = symbol.value;
  if (!row.structure.empty()) {
    FURNACE_TRY(const uint64_t member, kernel.member(row.structure, row.member));
    offset += member;
  }
  FURNACE_TRY(const Gva function, kernel.symbol(row.function));
  FURNACE_TRY(const Gva offsets, kernel.symbol("__per_cpu_offset"));
  const size_t size = std::min(kernel.size_of_function(function), kMaxFunction);
  TracePoint point{{}, row.length, behind_stores_to_gs(guest.kernel_space(), function, size, offset)};
  if (point.after.empty())
    return fail(Errc::NotFound, "{} does not write {} of its CPU", row.function, row.symbol);
  std::vector<TracePoint> points;
  for (uint32_t vcpu = 0; vcpu < vcpus; ++vcpu) {
    FURNACE_TRY(const uint64_t area, guest.kernel_space().read<uint64_t>(offsets + uint64_t{vcpu} * 8));
    point.address = Gva{area + offset};
    points.push_back(point);
  }
  return points;
}

/// Empty where the kernel has not what it takes.
std::vector<TracePoint> variable_points(const Kernel& kernel, const LinuxGuest& guest, Trace what,
                                        uint32_t vcpus) {
  std::vector<TracePoint> all;
  for (const VariableRow& row : kVariables) {
    if (row.what != what) continue;
    const auto points = points_of_row(kernel, guest, row, vcpus);
    if (!points) return {};
    all.insert(all.end(), points->begin(), points->end());
  }
  return all;
}

Result<std::vector<TracePoint>> cr3_instructions(const Kernel& kernel, const LinuxGuest& guest) {
  std::vector<TracePoint> points;
  for (const std::string_view name : kCr3Writers) {
    const auto function = kernel.symbol(name);
    if (!function) continue;
    for (const Gva at : loads_of_cr3(guest.kernel_space(), *function,
                                     std::min(kernel.size_of_function(*function), kMaxFunction)))
      if (std::none_of(points.begin(), points.end(), [&](const TracePoint& p) { return p.address == at; }))
        points.push_back({at, 0, {}});
  }
  if (points.empty()) return fail(Errc::NotFound, "no instruction that loads CR3 was found in the kernel");
  return points;
}

/// Where a system call has its result. In later kernels (7.2) the function that each of them went through is
/// a part of do_syscall_64: there it is the place where the answer was stored.
Result<std::vector<TracePoint>> syscall_exit(const Kernel& kernel, const LinuxGuest& guest) {
  if (const auto function = kernel.symbol(kSyscallExit))  // kernel/entry/common.c
    return std::vector{TracePoint{*function, 0, {}}};
  FURNACE_TRY(const Gva dispatch, kernel.symbol("do_syscall_64"));  // arch/x86/entry/syscall_64.c
  FURNACE_TRY(const Gva table, kernel.symbol("x64_sys_call"));
  const auto at = behind_store_of_answer(guest.kernel_space(), dispatch,
                                         std::min(kernel.size_of_function(dispatch), kMaxFunction), table);
  if (!at) return fail(Errc::NotFound, "do_syscall_64 does not store what x64_sys_call returns");
  return std::vector{TracePoint{*at, 0, {}}};
}

/// While it boots, a kernel moves its CPUs' variables and changes its code.
Status check_booted(const Kernel& kernel, const LinuxGuest& guest) {
  const auto symbol = kernel.symbol("system_state");
  if (!symbol) return {};
  // include/linux/kernel.h. SYSTEM_FREEING_INITMEM was put in front of it in 5.14.
  constexpr uint32_t least = 2;
  FURNACE_TRY(const uint32_t state, guest.kernel_space().read<uint32_t>(*symbol));
  const auto running =
      state == least ? kernel.profile().types().constant("system_states", "SYSTEM_RUNNING") : std::nullopt;
  if (state >= running.value_or(least)) return {};
  return fail(Errc::Unavailable, "the guest's kernel is still booting (system_state {})", state);
}

}  // namespace

Result<std::vector<TracePoint>> trace_points(const Kernel& kernel, const LinuxGuest& guest, Trace what,
                                             uint32_t vcpus, bool watched_writes) {
  FURNACE_CHECK(check_booted(kernel, guest));
  if (watched_writes)
    if (auto points = variable_points(kernel, guest, what, vcpus); !points.empty()) return points;
  if (what == Trace::AddressSpaceSwitch) return cr3_instructions(kernel, guest);
  if (what == Trace::SyscallExit) return syscall_exit(kernel, guest);
  const auto row =
      std::find_if(kEntries.begin(), kEntries.end(), [&](const EntryRow& each) { return each.what == what; });
  if (row == kEntries.end()) return fail(Errc::Invalid, "nothing to watch for this");
  FURNACE_TRY(const Gva entry, kernel.symbol(row->function));
  return std::vector{TracePoint{entry, 0, {}}};
}

std::string registers_at_exit(const Kernel& kernel, const LinuxGuest& guest, Gva at) {
  return kernel.symbol(kSyscallExit) ? "rdi" : saved_registers_at(guest.kernel_space(), at);
}

Result<Gva> direct_map(const Kernel& kernel, const LinuxGuest& guest, Gpa address) {
  FURNACE_TRY(const Gva variable, kernel.symbol("page_offset_base"));  // arch/x86/mm/kaslr.c
  FURNACE_TRY(const uint64_t base, guest.kernel_space().read<uint64_t>(variable));
  const Gva mapped{base + address.value};
  const auto found = guest.kernel_space().translate(mapped);
  if (!found || found->gpa != address)
    return fail(Errc::Unmapped, "{:#x} is no physical memory that the guest's kernel maps", address.value);
  return mapped;
}

Status check_watchable(const Kernel& kernel, const LinuxGuest& guest, std::span<const Process> processes,
                       Gva address, uint64_t length) {
  // Documentation/x86/x86_64/mm.rst; IDT, GDT, TSS and interrupt stacks of all CPUs.
  constexpr uint64_t cpu_entry_area = 0xffff'fe00'0000'0000, cpu_entry_area_end = 0xffff'fe80'0000'0000;
  const auto overlaps = [&](uint64_t start, uint64_t end) {
    return address.value < end && start < address.value + length;
  };
  if (overlaps(cpu_entry_area, cpu_entry_area_end))
    return fail(Errc::Invalid, "{:#x} is in the CPU entry area, which the processor uses itself",
                address.value);
  constexpr uint64_t thread_size = 16 << 10;  // THREAD_SIZE, arch/x86/include/asm/page_64_types.h
  const auto stack = kernel.member("task_struct", "stack");
  if (!stack) return {};
  for (const Process& process : processes) {
    const auto start = guest.kernel_space().read<uint64_t>(process.task + *stack);
    if (start && *start != 0 && overlaps(*start, *start + thread_size))
      return fail(Errc::Invalid,
                  "{:#x} is on the kernel stack of process {}, where the processor stores interrupt frames",
                  address.value, process.pid);
  }
  return {};
}

}  // namespace furnace::guest
