#include "guest/linux/tasks.h"

#include <algorithm>
#include <array>
#include <bit>
#include <utility>

#include "base/bytes.h"
#include "guest/linux/task_walk.h"

namespace furnace::guest {
namespace {

constexpr uint32_t kKernelThread = 0x00200000;  // PF_KTHREAD, include/linux/sched.h
constexpr size_t kCommSize = 16;                // TASK_COMM_LEN
constexpr size_t kMaxCommandLine = 4096;
constexpr int kMaxPathParts = 256;
constexpr size_t kMaxNamePart = 255;  // NAME_MAX

}  // namespace

Result<TaskLayout> TaskLayout::of(const Kernel& kernel) {
  TaskLayout layout{};
  struct Row {
    uint64_t TaskLayout::*offset;
    std::string_view structure, member;
  };
  constexpr std::array rows = {
      Row{&TaskLayout::tasks, "task_struct", "tasks"},
      Row{&TaskLayout::pid, "task_struct", "pid"},
      Row{&TaskLayout::tgid, "task_struct", "tgid"},
      Row{&TaskLayout::real_parent, "task_struct", "real_parent"},
      Row{&TaskLayout::comm, "task_struct", "comm"},
      Row{&TaskLayout::cred, "task_struct", "real_cred"},
      Row{&TaskLayout::flags, "task_struct", "flags"},
      Row{&TaskLayout::mm, "task_struct", "mm"},
      Row{&TaskLayout::start_time, "task_struct", "start_boottime"},
      Row{&TaskLayout::cred_uid, "cred", "uid"},
      Row{&TaskLayout::pgd, "mm_struct", "pgd"},
      Row{&TaskLayout::arg_start, "mm_struct", "arg_start"},
      Row{&TaskLayout::arg_end, "mm_struct", "arg_end"},
      Row{&TaskLayout::exe_file, "mm_struct", "exe_file"},
      Row{&TaskLayout::file_dentry, "file", "f_path.dentry"},
      Row{&TaskLayout::file_mnt, "file", "f_path.mnt"},
      Row{&TaskLayout::dentry_parent, "dentry", "d_parent"},
      Row{&TaskLayout::dentry_name, "dentry", "d_name.name"},
      Row{&TaskLayout::mount_mnt, "mount", "mnt"},
      Row{&TaskLayout::mount_parent, "mount", "mnt_parent"},
      Row{&TaskLayout::mount_point, "mount", "mnt_mountpoint"},
      Row{&TaskLayout::mnt_root, "vfsmount", "mnt_root"},
  };
  for (const Row& row : rows) {
    FURNACE_TRY(layout.*row.offset, kernel.member(row.structure, row.member));
  }
  const auto member = [&](std::string_view structure, std::string_view name) -> std::optional<uint64_t> {
    const auto found = kernel.member(structure, name);
    return found ? std::optional(*found) : std::nullopt;
  };
  layout.state = member("task_struct", "__state");
  if (!layout.state) layout.state = member("task_struct", "state");  // until 5.13
  layout.exit_state = member("task_struct", "exit_state");
  const auto signal = member("task_struct", "signal");
  const auto node = member("task_struct", "thread_node");
  const auto head = member("signal_struct", "thread_head");
  if (signal && node && head) layout.threads = {*signal, *node, *head};
  return layout;
}

Result<PerCpu> PerCpu::of(const Kernel& kernel) {
  PerCpu per_cpu{};
  FURNACE_TRY(per_cpu.offsets, kernel.symbol("__per_cpu_offset"));
  // Linux 6.2 moved it into struct pcpu_hot (arch/x86/include/asm/current.h).
  if (const auto hot = kernel.symbol("pcpu_hot")) {
    FURNACE_TRY(const uint64_t member, kernel.member("pcpu_hot", "current_task"));
    per_cpu.current_task = hot->value + member;
    return per_cpu;
  }
  FURNACE_TRY(const Gva current, kernel.symbol("current_task"));
  per_cpu.current_task = current.value;
  return per_cpu;
}

Result<LinuxGuest> LinuxGuest::make(const Kernel& kernel, GuestMemory& memory, TranslationCache& cache) {
  FURNACE_TRY(const TaskLayout layout, TaskLayout::of(kernel));
  FURNACE_TRY(const Gva init_task, kernel.symbol("init_task"));
  std::optional<PerCpu> per_cpu;
  if (auto found = PerCpu::of(kernel)) per_cpu = *found;
  return LinuxGuest(layout, AddressSpace(memory, cache, kernel.placement().table), cache, init_task, per_cpu);
}

Result<Process> LinuxGuest::process_of(Gva task) const {
  FURNACE_TRY(Process process, rest_of_process(task));
  if (process.unread != 0) return fail(Errc::Unmapped, "{}", process.problem);
  return process;
}

Result<Process> LinuxGuest::rest_of_process(Gva task) const {
  Process process;
  process.task = task;
  FURNACE_TRY(process.pid, kernel_space_.read<int32_t>(task + layout_.tgid));
  // A rootkit needs to break only one pointer, and a dump of a running guest has many that no longer fit:
  // what is left of the process is reported.
  const auto take = [&](uint8_t part, const auto& found, auto& value) {
    if (found) {
      value = *found;
      return;
    }
    if (process.unread == 0) process.problem = found.error().message();
    process.unread |= part;
  };
  const AddressSpace& space = kernel_space_;
  uint32_t flags = 0;
  uint64_t parent = 0, cred = 0;
  std::string name;
  take(kOthersUnread, space.read<uint32_t>(task + layout_.flags), flags);
  take(kMemoryUnread, space.read<uint64_t>(task + layout_.mm), process.mm.value);
  take(kOthersUnread, space.read<uint64_t>(task + layout_.start_time), process.start_ns);
  take(kParentUnread, space.read<uint64_t>(task + layout_.real_parent), parent);
  take(kParentUnread, space.read<int32_t>(Gva{parent} + layout_.tgid), process.ppid);
  take(kUserUnread, space.read<uint64_t>(task + layout_.cred), cred);
  take(kUserUnread, space.read<uint32_t>(Gva{cred} + layout_.cred_uid), process.uid);
  take(kOthersUnread, space.read_string(task + layout_.comm, kCommSize), name);
  process.name = valid_utf8(name);
  process.kernel_thread = (flags & kKernelThread) != 0;
  process.state = state_of(task, flags);
  if (process.mm.value == 0 && !process.kernel_thread) process.mm = mm_of_another_thread(task);
  return process;
}

/// As fs/proc/array.c get_task_state: the lowest bit of both names it. The bits are in include/linux/sched.h.
char LinuxGuest::state_of(Gva task, uint32_t flags) const {
  if (!layout_.state || !layout_.exit_state) return '?';
  const auto state = kernel_space_.read<uint32_t>(task + *layout_.state);
  const auto exit_state = kernel_space_.read<uint32_t>(task + *layout_.exit_state);
  if (!state || !exit_state) return '?';
  constexpr uint32_t idle = 0x402;  // TASK_UNINTERRUPTIBLE | TASK_NOLOAD
  if ((flags & kKernelThread) != 0 && (*state & idle) == idle) return 'I';
  constexpr std::string_view letters = "SDTtXZP";
  const uint32_t bits = (*state | *exit_state) & 0x7f;
  return bits == 0 ? 'R' : letters.at(static_cast<size_t>(std::countr_zero(bits)));
}

/// A process lives on after its first thread has exited: then the others have its memory.
Gva LinuxGuest::mm_of_another_thread(Gva task) const {
  if (!layout_.threads) return {};
  const auto& [signal_at, node_at, head_at] = *layout_.threads;
  const auto signal = kernel_space_.read<uint64_t>(task + signal_at);
  if (!signal || *signal == 0) return {};
  constexpr int most = 64;  // threads that are looked at: others that have exited are soon off this list
  const Gva head = Gva{*signal} + head_at;
  auto node = kernel_space_.read<uint64_t>(head);
  for (int i = 0; i < most && node && Gva{*node} != head; ++i) {
    const auto mm = kernel_space_.read<uint64_t>(Gva{*node} - node_at + layout_.mm);
    if (mm && *mm != 0) return Gva{*mm};
    node = kernel_space_.read<uint64_t>(Gva{*node});
  }
  return {};
}

Result<ProcessList> LinuxGuest::processes() const {
  ProcessListing listing(*this);
  while (true)
    if (auto found = listing.step(TaskWalk::Clock::time_point::max())) return *std::move(found);
}

Result<Gva> LinuxGuest::current_task(uint32_t vcpu) const {
  if (!per_cpu_) return fail(Errc::NotFound, "the kernel has no symbol current_task or pcpu_hot");
  FURNACE_TRY(const uint64_t area, kernel_space_.read<uint64_t>(per_cpu_->offsets + uint64_t{vcpu} * 8));
  FURNACE_TRY(const uint64_t task, kernel_space_.read<uint64_t>(Gva{area + per_cpu_->current_task}));
  return Gva{task};
}

Result<Gva> LinuxGuest::newest_task() const {
  constexpr uint64_t prev = 8;  // struct list_head
  FURNACE_TRY(const uint64_t last, kernel_space_.read<uint64_t>(init_task_ + layout_.tasks + prev));
  return Gva{last} - layout_.tasks;
}

Result<AddressSpace> LinuxGuest::space_of(Gva mm) const {
  if (mm.value == 0) return kernel_space_;
  FURNACE_TRY(const uint64_t pgd, kernel_space_.read<uint64_t>(mm + layout_.pgd));
  const auto root = kernel_space_.translate(Gva{pgd});
  if (!root) return fail(Errc::Unmapped, "page table of mm {:#x}: {}", mm.value, explain(root.error()));
  return AddressSpace(kernel_space_.memory(), *cache_, {root->gpa, kernel_space_.table().levels});
}

Result<std::string> LinuxGuest::command_line(const Process& process) const {
  if (process.mm.value == 0) return std::string();
  FURNACE_TRY(const uint64_t start, kernel_space_.read<uint64_t>(process.mm + layout_.arg_start));
  FURNACE_TRY(const uint64_t end, kernel_space_.read<uint64_t>(process.mm + layout_.arg_end));
  if (end <= start) return std::string();
  FURNACE_TRY(const AddressSpace space, space_of(process.mm));
  std::string text(std::min<uint64_t>(end - start, kMaxCommandLine), '\0');
  text.resize(space.read(Gva{start}, std::as_writable_bytes(std::span(text))));
  if (text.empty()) return tl::unexpected<Error>(space.why_unreadable(Gva{start}, 1));
  while (!text.empty() && text.back() == '\0') text.pop_back();
  std::replace(text.begin(), text.end(), '\0', ' ');
  return valid_utf8(text);
}

Result<std::string> LinuxGuest::executable(const Process& process) const {
  if (process.mm.value == 0) return std::string();
  const AddressSpace& space = kernel_space_;
  FURNACE_TRY(const uint64_t file, space.read<uint64_t>(process.mm + layout_.exe_file));
  if (file == 0) return std::string();
  FURNACE_TRY(Gva dentry,
              space.read<uint64_t>(Gva{file} + layout_.file_dentry).map([](uint64_t v) { return Gva{v}; }));
  FURNACE_TRY(Gva mnt,
              space.read<uint64_t>(Gva{file} + layout_.file_mnt).map([](uint64_t v) { return Gva{v}; }));
  // As fs/d_path.c prepend_path(): up the parents, at the root of a mount on in the mount above.
  std::string path;
  for (int part = 0; part < kMaxPathParts; ++part) {
    FURNACE_TRY(const uint64_t root, space.read<uint64_t>(mnt + layout_.mnt_root));
    if (dentry == Gva{root}) {
      const Gva mount = mnt - layout_.mount_mnt;
      FURNACE_TRY(const uint64_t parent, space.read<uint64_t>(mount + layout_.mount_parent));
      if (Gva{parent} == mount) return path.empty() ? "/" : valid_utf8(path);
      FURNACE_TRY(dentry.value, space.read<uint64_t>(mount + layout_.mount_point));
      mnt = Gva{parent} + layout_.mount_mnt;
      continue;
    }
    FURNACE_TRY(const uint64_t name, space.read<uint64_t>(dentry + layout_.dentry_name));
    FURNACE_TRY(const std::string text, space.read_string(Gva{name}, kMaxNamePart));
    FURNACE_TRY(const uint64_t parent, space.read<uint64_t>(dentry + layout_.dentry_parent));
    if (Gva{parent} == dentry)
      return path.empty() ? valid_utf8(text) : valid_utf8(path);  // not below any root
    path = "/" + text + path;
    dentry = {parent};
  }
  return fail(Errc::Invalid, "executable of pid {}: a path of more than {} parts", process.pid,
              kMaxPathParts);
}

}  // namespace furnace::guest
