// Ways in which the simulated guest's memory is crafted against its reader.
#include <array>

#include "hypervisor/simulator/world.h"

namespace furnace::hypervisor {

Status World::make_hostile() {
  const auto has = [&](Hostility hostility) { return guest_.hostile.contains(hostility); };
  std::vector<Task*> victims;
  for (auto& [pid, task] : tasks_)
    if (pid != 0) victims.push_back(&task);
  if (victims.size() < 4)
    return guest_.hostile.empty() ? Status() : fail(Errc::Invalid, "a hostile guest needs 4 tasks or more");
  if (has(Hostility::InvalidUtf8))
    for (Task* task : victims) set_text("task_struct", "comm", task->address, "\xff\xfe\xc0\x80 \x1b[31m");
  if (has(Hostility::WildPointers)) {
    constexpr std::array<uint64_t, 5> wild = {0xdeadbeefdeadbeef, 0x8000000000000000, 0xffffffffffffffff, 1,
                                              0xffff888fffffffff};
    for (size_t i = 0; i < victims.size(); ++i)
      for (const char* member : {"files", "thread_pid", "group_leader"})
        set("task_struct", member, victims[i]->address, wild[(i + member[0]) % wild.size()]);
    set("task_struct", "mm", victims[0]->address, wild[0]);
    for (Module& module : modules_) set("module", "core_layout.base", module.address, wild[1]);
  }
  if (has(Hostility::HugeArrays)) {
    for (const Task* task : victims) {
      if (task->mm.value != 0) set("mm_struct", "arg_end", task->mm, kArguments.value + (1ULL << 40));
      const auto files =
          memory_.read<uint64_t>(map_.physical(at("task_struct", "files", task->address))).value_or(0);
      if (has(Hostility::WildPointers)) continue;
      const auto table =
          memory_.read<uint64_t>(map_.physical(at("files_struct", "fdt", Gva{files}))).value_or(0);
      set("fdtable", "max_fds", Gva{table}, 0xffffffff);
    }
    for (Module& module : modules_) set("module", "core_layout.size", module.address, 0xffffffff);
    for (const Gva node : nodes_) set("xa_node", "shift", node, 250);
  }
  if (has(Hostility::SelfMappedTables))
    for (const Task* task : victims)
      if (task->root != map_.kernel_table().root)
        for (uint64_t slot = 0; slot < 256; ++slot) memory_.put(task->root + slot * 8, task->root.value | 7);
  // Last, because it is what the list's own functions would repair.
  if (has(Hostility::CyclicTaskList))
    put(at("task_struct", "tasks", victims.back()->address),
        at("task_struct", "tasks", victims[1]->address).value);
  return {};
}

}  // namespace furnace::hypervisor
