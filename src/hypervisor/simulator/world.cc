#include "hypervisor/simulator/world.h"

#include <algorithm>
#include <array>

#include "base/bytes.h"
#include "guest/profile/profile.h"
#include "hypervisor/simulator/kernel_types.h"

namespace furnace::hypervisor {
namespace {

using guest::Gpa;
using guest::Gva;
using guest::kPageSize;

// Where things lie in the image.
constexpr uint64_t kTextEnd = 0x10'0000, kBanner = 0x20'0000, kSyscallTable = 0x21'0000, kModules = 0x22'0000,
                   kPidNamespace = 0x22'1000, kPerCpuOffset = 0x22'2000, kLevelsFlag = 0x22'3000,
                   kVariables = 0x23'0000, kInitTask = 0x30'0000;
constexpr uint64_t kCurrentTask = 0x1'6d00;  // offset in a vCPU's own area
constexpr uint64_t kPerCpuSize = 0x2'0000;
constexpr uint32_t kSyscalls = 451;
constexpr uint64_t kSyscallSize = 0x100, kFirstSyscall = 0x8000;  // of the functions in the text
constexpr uint32_t kPfKthread = 0x0020'0000;
constexpr int kPidTypes = 4;  // PIDTYPE_MAX
constexpr size_t kMaxTasks = 4096;

constexpr std::array<std::pair<uint32_t, std::string_view>, 16> kNamedSyscalls{{
    {0, "read"},
    {1, "write"},
    {2, "open"},
    {3, "close"},
    {39, "getpid"},
    {41, "socket"},
    {42, "connect"},
    {56, "clone"},
    {57, "fork"},
    {59, "execve"},
    {60, "exit"},
    {62, "kill"},
    {105, "setuid"},
    {175, "init_module"},
    {217, "getdents64"},
    {257, "openat"},
}};

Gva random_text(const SimulatedGuest& guest) {
  constexpr uint64_t start = 0xffffffff81000000, large_page = 2 << 20, places = 400;
  return Gva{start + (guest.kaslr ? guest.seed * 2654435761 % places * large_page : 0)};
}

Gva random_direct_map(const SimulatedGuest& guest) {
  const uint64_t start = guest.levels == 5 ? 0xff11000000000000 : 0xffff888000000000;
  constexpr uint64_t gigabyte = 1 << 30, places = 1000;
  return Gva{start + (guest.kaslr ? guest.seed * 40503 % places * gigabyte : 0)};
}

}  // namespace

World::World(const SimulatedGuest& description)
    : guest_(description),
      random_(description.seed),
      memory_(description.memory_mb << 20),
      map_(memory_, description.levels, random_text(description), random_direct_map(description)) {}

Result<std::unique_ptr<World>> World::make(const SimulatedGuest& description) {
  std::unique_ptr<World> world(new World(description));
  if (auto built = world->build(); !built)
    return fail(built.error(), fmt::format("simulated guest '{}'", description.name));
  return world;
}

Gva World::at(std::string_view structure, std::string_view member, Gva object) const {
  return object + kernel_->member(structure, member).value_or(0);
}

void World::set(std::string_view structure, std::string_view member, Gva object, uint64_t value) {
  const auto& types = kernel_->profile().types();
  const auto found = types.member(structure, member);
  if (!found) return;
  const auto type = types.describe(found->type);
  const size_t size = type ? std::min<uint64_t>(type->size, sizeof value) : sizeof value;
  (void)memory_.write(map_.physical(object + found->byte_offset()),
                      std::as_bytes(std::span(&value, 1)).first(size));
}

void World::set_text(std::string_view structure, std::string_view member, Gva object, std::string_view text) {
  constexpr size_t longest = 55;  // of a module's name, which is longer than a task's
  const size_t limit = structure == "task_struct" ? 15 : longest;
  (void)memory_.write(map_.physical(at(structure, member, object)), as_bytes(text.substr(0, limit)));
}

Result<Gva> World::allocate(uint64_t bytes) {
  const auto at = map_.allocate(bytes);
  if (!at) return fail(Errc::Invalid, "its {} MB of memory are full", guest_.memory_mb);
  return map_.direct(*at);
}

Result<Gva> World::make_object(std::string_view structure) {
  FURNACE_TRY(const uint64_t size, kernel_->profile().types().size(structure));
  return allocate(size);
}

Result<Gva> World::make_text(std::string_view text) {
  FURNACE_TRY(const Gva at, allocate(text.size() + 1));
  (void)memory_.write(map_.physical(at), as_bytes(text));
  return at;
}

Status World::build_image() {
  guest::ProfileBuilder profile;
  const auto symbol = [&](std::string_view name, uint64_t offset, char type = 'D') {
    profile.add_symbol(std::string(name), {offset, true, type});
  };
  for (const auto& [name, offset] :
       std::initializer_list<std::pair<std::string_view, uint64_t>>{{"_text", 0},
                                                                    {"_stext", 0},
                                                                    {"_etext", kTextEnd},
                                                                    {"linux_banner", kBanner},
                                                                    {"sys_call_table", kSyscallTable},
                                                                    {"modules", kModules},
                                                                    {"init_pid_ns", kPidNamespace},
                                                                    {"__per_cpu_offset", kPerCpuOffset},
                                                                    {"__pgtable_l5_enabled", kLevelsFlag},
                                                                    {"init_task", kInitTask},
                                                                    {"init_top_pgt", AddressMap::kRootOffset},
                                                                    {"entry_SYSCALL_64", 0x1000},
                                                                    {"commit_creds", 0x2000},
                                                                    {"do_exit", 0x3000},
                                                                    {"wake_up_new_task", 0x4000},
                                                                    {"sockfs_dname", 0x5000}})
    symbol(name, offset, offset < kTextEnd ? 'T' : 'D');
  profile.add_symbol("current_task", {kCurrentTask, false, 'D'});

  for (uint64_t offset = 0; offset < kTextEnd; offset += 8)
    memory_.put(AddressMap::kImage + offset, random_());
  (void)memory_.write(AddressMap::kImage + kBanner, as_bytes(guest_.banner + "\n"));
  memory_.put(AddressMap::kImage + kLevelsFlag, guest_.levels == 5 ? 1U : 0U);
  symbol("__x64_sys_ni_syscall", kFirstSyscall + kSyscalls * kSyscallSize, 'T');
  for (const auto& [number, name] : kNamedSyscalls)
    symbol(fmt::format("__x64_sys_{}", name), kFirstSyscall + number * kSyscallSize, 'T');
  for (uint32_t number = 0; number < kSyscalls; ++number) {
    const bool named = std::any_of(kNamedSyscalls.begin(), kNamedSyscalls.end(),
                                   [&](const auto& each) { return each.first == number; });
    const uint64_t function = kFirstSyscall + (named ? number : kSyscalls) * kSyscallSize;
    memory_.put(AddressMap::kImage + kSyscallTable + uint64_t{number} * 8, (map_.text() + function).value);
  }
  uint64_t next = kVariables;
  for (const SimulatedSymbol& variable : guest_.symbols) {
    symbol(variable.name, next);
    const Gpa place = AddressMap::kImage + next;
    uint64_t size = 8;
    if (const auto* number = std::get_if<uint64_t>(&variable.value)) {
      memory_.put(place, *number);
    } else {
      const auto& text = std::get<std::string>(variable.value);
      (void)memory_.write(place, as_bytes(text));
      size = text.size() + 1;
    }
    next += (size + 7) / 8 * 8;
    if (next > kInitTask)
      return fail(Errc::Invalid, "its symbols take more than {} KB", (kInitTask - kVariables) >> 10);
  }
  profile.set_banner(guest_.banner);
  profile.set_types(simulated_types(guest_.seed));
  FURNACE_TRY(auto built, std::move(profile).build());
  kernel_.emplace(std::move(built), guest::Placement{map_.text(), AddressMap::kImage, map_.kernel_table()});
  return {};
}

Status World::build() {
  FURNACE_CHECK(build_image());
  FURNACE_TRY(root_mount_, make_object("mount"));
  vfsmount_ = at("mount", "mnt", root_mount_);
  FURNACE_TRY(const Gva root, make_dentry("/", Gva{}, 0040755));
  dentries_.emplace("/", root);
  set("vfsmount", "mnt_root", vfsmount_, root.value);
  set("mount", "mnt_parent", root_mount_, root_mount_.value);
  set("mount", "mnt_mountpoint", root_mount_, root.value);
  FURNACE_TRY(socket_names_, make_object("dentry_operations"));
  FURNACE_TRY(const Gva namer, symbol("sockfs_dname"));
  set("dentry_operations", "d_dname", socket_names_, namer.value);
  for (uint32_t vcpu = 0; vcpu < guest_.vcpus; ++vcpu) {
    FURNACE_TRY(const Gva area, allocate(kPerCpuSize));
    put(map_.text() + kPerCpuOffset + uint64_t{vcpu} * 8, area.value);
  }
  SimulatedTask idle;
  idle.name = "swapper/0";
  idle.kernel_thread = true;
  FURNACE_CHECK(add_task(idle));
  if (guest_.tasks.size() > kMaxTasks)
    return fail(Errc::Invalid, "{} tasks, at most {}", guest_.tasks.size(), kMaxTasks);
  for (const SimulatedTask& task : guest_.tasks) FURNACE_CHECK(add_task(task));
  for (const SimulatedModule& module : guest_.modules) FURNACE_CHECK(add_module(module));
  link_tasks();
  link_modules();
  FURNACE_CHECK(index_pids());
  for (uint32_t vcpu = 0; vcpu < guest_.vcpus; ++vcpu) FURNACE_CHECK(switch_to(vcpu, 0));
  return make_hostile();
}

Result<World::Task*> World::find(int32_t pid) {
  const auto found = tasks_.find(pid);
  if (found == tasks_.end()) return fail(Errc::NotFound, "no task {}", pid);
  return &found->second;
}

Status World::add_task(const SimulatedTask& description) {
  if (tasks_.contains(description.pid)) return fail(Errc::Invalid, "task {} exists already", description.pid);
  Task task{.description = description};
  const bool idle = description.pid == 0;
  task.address = map_.text() + kInitTask;
  if (!idle) {
    FURNACE_TRY(task.address, make_object("task_struct"));
    if (!tasks_.contains(description.ppid))
      return fail(Errc::Invalid, "task {} has parent {}, which does not exist", description.pid,
                  description.ppid);
  }
  const Gva parent = idle ? task.address : tasks_[description.ppid].address;
  FURNACE_TRY(const Gva cred, make_object("cred"));
  for (const char* member : {"uid", "suid", "euid"}) set("cred", member, cred, description.uid);
  for (const char* member : {"gid", "sgid", "egid"}) set("cred", member, cred, description.uid);
  task.root = map_.kernel_table().root;
  if (!description.kernel_thread) {
    FURNACE_TRY(task.mm, make_mm(description, task.root));
  }
  FURNACE_TRY(const Gva files, make_files(description));
  set_text("task_struct", "comm", task.address, description.name);
  const std::initializer_list<std::pair<std::string_view, uint64_t>> members{
      {"pid", static_cast<uint32_t>(description.pid)},
      {"tgid", static_cast<uint32_t>(description.pid)},
      {"flags", description.kernel_thread ? kPfKthread : 0},
      {"mm", task.mm.value},
      {"real_parent", parent.value},
      {"group_leader", task.address.value},
      {"cred", cred.value},
      {"real_cred", cred.value},
      {"files", files.value},
      {"start_boottime", next_start_ns_}};
  for (const auto& [member, value] : members) set("task_struct", member, task.address, value);
  next_start_ns_ += 1'000'000'000;
  if (!idle) {
    FURNACE_TRY(task.pid, make_object("pid"));
    set("pid", "count", task.pid, 1);
    put(at("pid", "numbers", task.pid), static_cast<uint32_t>(description.pid));
    set("task_struct", "thread_pid", task.address, task.pid.value);
    for (int type = 0; type < kPidTypes; ++type) {
      const Gva link = at("task_struct", "pid_links", task.address) + static_cast<uint64_t>(type) * 16;
      put(at("pid", "tasks", task.pid) + static_cast<uint64_t>(type) * 8, link.value);
      put(link + 8, (at("pid", "tasks", task.pid) + static_cast<uint64_t>(type) * 8).value);
    }
  }
  tasks_.emplace(description.pid, task);
  return {};
}

Status World::remove_task(int32_t pid) {
  FURNACE_TRY(const Task* task, find(pid));
  if (pid <= 1) return fail(Errc::Invalid, "task {} can't end", pid);
  // Its children go to init; its memory is used again, as in a kernel.
  for (auto& [child, other] : tasks_)
    if (other.description.ppid == pid) {
      other.description.ppid = 1;
      set("task_struct", "real_parent", other.address, tasks_[1].address.value);
    }
  map_.free(map_.physical(task->address), kernel_->profile().types().size("task_struct").value_or(0));
  tasks_.erase(pid);
  return {};
}

Status World::add_module(const SimulatedModule& description) {
  FURNACE_TRY(const Gva address, make_object("module"));
  FURNACE_TRY(const Gva text, allocate(kPageSize));
  set_text("module", "name", address, description.name);
  set("module", "core_layout.base", address, text.value);
  set("module", "core_layout.size", address, description.size);
  set("module", "core_layout.text_size", address, kPageSize);
  modules_.push_back({description, address});
  return {};
}

/// An address space with the command line in it.
Result<Gva> World::make_mm(const SimulatedTask& task, Gpa& root) {
  FURNACE_TRY(const Gva mm, make_object("mm_struct"));
  const auto table = map_.new_root();
  FURNACE_TRY(const Gva page, allocate(kPageSize));
  if (!table || !map_.map(*table, kArguments, map_.physical(page), 1, true))
    return fail(Errc::Invalid, "its memory is full");
  root = *table;
  const std::string_view arguments = std::string_view(task.command_line).substr(0, kPageSize - 1);
  (void)memory_.write(map_.physical(page), as_bytes(arguments));
  set("mm_struct", "pgd", mm, map_.direct(root).value);
  set("mm_struct", "arg_start", mm, kArguments.value);
  set("mm_struct", "arg_end", mm, kArguments.value + arguments.size() + (arguments.empty() ? 0 : 1));
  if (!task.executable.empty()) {
    FURNACE_TRY(const Gva file, make_file(task.executable));
    set("mm_struct", "exe_file", mm, file.value);
  }
  return mm;
}

void World::link_list(const std::vector<Gva>& nodes) {
  for (size_t i = 0; i < nodes.size(); ++i) {
    put(nodes[i], nodes[(i + 1) % nodes.size()].value);
    put(nodes[i] + 8, nodes[(i + nodes.size() - 1) % nodes.size()].value);
  }
}

void World::link_tasks() {
  std::vector<Gva> nodes;
  for (const auto& [pid, task] : tasks_)
    if (!task.description.hidden) nodes.push_back(at("task_struct", "tasks", task.address));
  link_list(nodes);
}

void World::link_modules() {
  std::vector<Gva> nodes{map_.text() + kModules};
  for (const Module& module : modules_) nodes.push_back(at("module", "list", module.address));
  link_list(nodes);
}

/// The radix tree of pids (lib/xarray.c): nodes of 64 slots, the pointers to them marked in their low bits.
Result<Gva> World::make_node(uint64_t first, int shift) {
  FURNACE_TRY(const Gva node, make_object("xa_node"));
  nodes_.push_back(node);
  set("xa_node", "shift", node, static_cast<uint64_t>(shift));
  uint64_t count = 0;
  for (uint64_t slot = 0; slot < 64; ++slot) {
    const uint64_t start = first + (slot << shift);
    const uint64_t end = start + (uint64_t{1} << shift);
    const auto task = tasks_.lower_bound(static_cast<int32_t>(std::max<uint64_t>(start, 1)));
    if (task == tasks_.end() || static_cast<uint64_t>(task->first) >= end) continue;
    uint64_t entry = task->second.pid.value;
    if (shift != 0) {
      FURNACE_TRY(const Gva child, make_node(start, shift - 6));
      set("xa_node", "parent", child, node.value);
      set("xa_node", "offset", child, slot);
      entry = child.value | 2;
    }
    put(at("xa_node", "slots", node) + slot * 8, entry);
    ++count;
  }
  set("xa_node", "count", node, count);
  return node;
}

Status World::index_pids() {
  for (const Gva node : nodes_)
    map_.free(map_.physical(node), kernel_->profile().types().size("xa_node").value_or(0));
  nodes_.clear();
  int shift = 0;
  while (uint64_t{1} << (shift + 6) <= static_cast<uint64_t>(tasks_.rbegin()->first)) shift += 6;
  FURNACE_TRY(const Gva root, make_node(0, shift));
  const Gva pid_namespace = map_.text() + kPidNamespace;
  set("pid_namespace", "idr.idr_rt.xa_head", pid_namespace, root.value | 2);
  set("pid_namespace", "pid_allocated", pid_namespace, tasks_.size() - 1);
  return {};
}

Result<Gpa> World::switch_to(uint32_t vcpu, int32_t pid) {
  if (vcpu >= guest_.vcpus) return fail(Errc::Invalid, "vCPU {} of {}", vcpu, guest_.vcpus);
  FURNACE_TRY(const Task* task, find(pid));
  const auto area =
      memory_.read<uint64_t>(AddressMap::kImage + kPerCpuOffset + uint64_t{vcpu} * 8).value_or(0);
  put(Gva{area + kCurrentTask}, task->address.value);
  return task->root;
}

Result<Gva> World::task_address(int32_t pid) {
  FURNACE_TRY(const Task* task, find(pid));
  return task->address;
}

Result<uint32_t> World::change_user(int32_t pid, uint32_t uid) {
  FURNACE_TRY(Task * task, find(pid));
  const auto cred = memory_.read<uint64_t>(map_.physical(at("task_struct", "real_cred", task->address)));
  if (!cred) return fail(Errc::Invalid, "task {} has no credentials", pid);
  set("cred", "uid", Gva{*cred}, uid);
  return std::exchange(task->description.uid, uid);
}

Result<Gpa> World::translate(int32_t pid, Gva gva) const {
  const auto task = tasks_.find(pid);
  if (task == tasks_.end()) return fail(Errc::NotFound, "no task {}", pid);
  const auto page = guest::walk(memory_, {task->second.root, guest_.levels}, gva);
  if (!page) return fail(Errc::Unmapped, "{}", guest::explain(page.error()));
  return page->gpa;
}

Status World::apply(const Change& change) {
  struct Apply {
    World& world;
    Status operator()(const StartTask& start) const {
      FURNACE_CHECK(world.add_task(start.task));
      world.link_tasks();
      return world.index_pids();
    }
    Status operator()(const ExitTask& exit) const {
      FURNACE_CHECK(world.remove_task(exit.pid));
      world.link_tasks();
      return world.index_pids();
    }
    Status operator()(const HideTask& hide) const {
      FURNACE_TRY(Task * task, world.find(hide.pid));
      task->description.hidden = true;
      world.link_tasks();
      return {};
    }
    Status operator()(const LoadModule& load) const {
      FURNACE_CHECK(world.add_module(load.module));
      world.link_modules();
      return {};
    }
    Status operator()(const UnloadModule& unload) const {
      const size_t removed = std::erase_if(
          world.modules_, [&](const Module& module) { return module.description.name == unload.name; });
      if (removed == 0) return fail(Errc::NotFound, "no module '{}'", unload.name);
      world.link_modules();
      return {};
    }
    Status operator()(const WriteSymbol& write) const {
      FURNACE_TRY(const Gva place, world.symbol(write.symbol));
      world.put(place, write.value);
      return {};
    }
    Status operator()(const PatchText& patch) const {
      FURNACE_TRY(const Gva place, world.symbol(patch.symbol));
      world.put(place, 0xcccccccccccccccc);
      return {};
    }
    Status operator()(const HookSyscall& hook) const {
      FURNACE_TRY(const Gva target, world.symbol(hook.symbol));
      if (hook.number >= kSyscalls)
        return fail(Errc::Invalid, "system call {} of {}", hook.number, kSyscalls);
      world.put(world.map_.text() + kSyscallTable + uint64_t{hook.number} * 8, target.value);
      return {};
    }
    Status operator()(const Reset&) const { return {}; }  // the driver makes a new guest
  };
  return std::visit(Apply{*this}, change);
}

}  // namespace furnace::hypervisor
