#include "guest/linux/tasks.h"

#include <algorithm>
#include <array>
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

Result<Process> LinuxGuest::read_process(Gva task) const {
  Process process;
  process.task = task;
  FURNACE_TRY(process.pid, kernel_space_.read<int32_t>(task + layout_.tgid));
  FURNACE_TRY(const uint32_t flags, kernel_space_.read<uint32_t>(task + layout_.flags));
  FURNACE_TRY(const uint64_t mm, kernel_space_.read<uint64_t>(task + layout_.mm));
  FURNACE_TRY(process.start_ns, kernel_space_.read<uint64_t>(task + layout_.start_time));
  FURNACE_TRY(const uint64_t parent, kernel_space_.read<uint64_t>(task + layout_.real_parent));
  FURNACE_TRY(process.ppid, kernel_space_.read<int32_t>(Gva{parent} + layout_.tgid));
  FURNACE_TRY(const uint64_t cred, kernel_space_.read<uint64_t>(task + layout_.cred));
  FURNACE_TRY(process.uid, kernel_space_.read<uint32_t>(Gva{cred} + layout_.cred_uid));
  FURNACE_TRY(const std::string comm, kernel_space_.read_string(task + layout_.comm, kCommSize));
  process.name = valid_utf8(comm);
  process.kernel_thread = (flags & kKernelThread) != 0;
  process.mm = {mm};
  return process;
}

Result<std::vector<Process>> LinuxGuest::processes() const {
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
