// Processes of a Linux guest, from its task list.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "guest/address_space.h"
#include "guest/kernel.h"

namespace furnace::guest {

/// Parts of a process that could not be read: bits of Process::unread.
inline constexpr uint8_t kParentUnread = 1, kUserUnread = 2, kMemoryUnread = 4, kOthersUnread = 8;

/// A process: the leader of a thread group, as `ps` lists it.
struct Process {
  Gva task{};        ///< its task_struct
  int32_t pid = 0;   ///< in the initial PID namespace
  int32_t ppid = 0;  ///< thread group of the real parent, 0 for init and kthreadd
  uint32_t uid = 0;  ///< real user id, in the initial user namespace
  std::string name;  ///< comm, made valid UTF-8
  bool kernel_thread = false;
  Gva mm{};               ///< its mm_struct, 0 for kernel threads and zombies
  uint64_t start_ns = 0;  ///< nanoseconds between boot and its start
  char state = '?';       ///< of its first thread, as /proc/PID/stat shows it: R, S, D, T, t, I, Z, X, P
  uint8_t unread = 0;     ///< what could not be read, and has its default here
  std::string problem{};  ///< why; of several parts, the first
};

/// A list of processes, as much of it as the guest's memory still holds.
struct ProcessList {
  std::vector<Process> processes;
  std::string gap;  ///< why processes may be missing; empty: none is
};

/// Byte offsets in the kernel's structures, looked up once per kernel.
struct TaskLayout {
  uint64_t tasks, pid, tgid, real_parent, comm, cred, flags, mm, start_time;  // task_struct
  uint64_t cred_uid;                                                          // cred
  uint64_t pgd, arg_start, arg_end, exe_file;                                 // mm_struct
  uint64_t file_dentry, file_mnt;                                             // file
  uint64_t dentry_parent, dentry_name;                                        // dentry
  uint64_t mount_mnt, mount_parent, mount_point;                              // mount
  uint64_t mnt_root;                                                          // vfsmount

  // Not every profile has these:
  std::optional<uint64_t> state, exit_state;  // task_struct
  struct Threads {
    uint64_t signal, node, head;  // task_struct, task_struct, signal_struct
  };
  std::optional<Threads> threads;

  [[nodiscard]] static Result<TaskLayout> of(const Kernel& kernel);
};

/// Where a vCPU's own variables are: at the address that `offsets` holds for it, plus their symbol's value.
struct PerCpu {
  Gva offsets;            ///< __per_cpu_offset
  uint64_t current_task;  ///< of the pointer to the running task

  [[nodiscard]] static Result<PerCpu> of(const Kernel& kernel);
};

/// The kernel's address space and the meaning of its task structures.
class LinuxGuest {
 public:
  /// Needs the structures' layouts in the profile. `memory` and `cache` must outlive the result.
  [[nodiscard]] static Result<LinuxGuest> make(const Kernel& kernel, GuestMemory& memory,
                                               TranslationCache& cache);

  /// All processes but the idle task, in the list's order, at once: see ProcessListing.
  [[nodiscard]] Result<ProcessList> processes() const;

  /// The task that runs on a vCPU, by the kernel's own per-CPU variable.
  [[nodiscard]] Result<Gva> current_task(uint32_t vcpu) const;
  /// The last of the task list: the process that was created last.
  [[nodiscard]] Result<Gva> newest_task() const;
  /// The process that a task belongs to; `name` is the thread's. The error: some part can't be read.
  [[nodiscard]] Result<Process> process_of(Gva task) const;
  /// As much of it as can be read: see Process::unread. The error: not even its pid can.
  [[nodiscard]] Result<Process> rest_of_process(Gva task) const;
  [[nodiscard]] Result<int32_t> thread_id(Gva task) const {
    return kernel_space_.read<int32_t>(task + layout_.pid);
  }

  /// The address space of a process; a kernel thread has the kernel's.
  [[nodiscard]] Result<AddressSpace> space_of(const Process& process) const { return space_of(process.mm); }
  [[nodiscard]] const AddressSpace& kernel_space() const { return kernel_space_; }

  /// The command line, arguments separated by spaces, at most 4096 bytes; empty for kernel threads.
  [[nodiscard]] Result<std::string> command_line(const Process& process) const;

  /// Path of the executable, across mount points; empty for kernel threads.
  [[nodiscard]] Result<std::string> executable(const Process& process) const;

  [[nodiscard]] const TaskLayout& layout() const { return layout_; }

 private:
  friend class TaskWalk;
  LinuxGuest(const TaskLayout& layout, AddressSpace kernel_space, TranslationCache& cache, Gva init_task,
             std::optional<PerCpu> per_cpu)
      : layout_(layout),
        kernel_space_(kernel_space),
        cache_(&cache),
        init_task_(init_task),
        per_cpu_(per_cpu) {}

  [[nodiscard]] char state_of(Gva task, uint32_t flags) const;
  [[nodiscard]] Gva mm_of_another_thread(Gva task) const;
  [[nodiscard]] Result<AddressSpace> space_of(Gva mm) const;

  TaskLayout layout_;
  AddressSpace kernel_space_;
  TranslationCache* cache_;
  Gva init_task_;
  std::optional<PerCpu> per_cpu_;
};

}  // namespace furnace::guest
