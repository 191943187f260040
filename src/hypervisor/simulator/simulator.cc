#include "hypervisor/simulator/simulator.h"

#include <algorithm>
#include <map>

#include "base/bytes.h"
#include "guest/profile/btf_builder.h"

namespace furnace::hypervisor {
namespace {

using guest::Gpa;
using guest::Gva;
using guest::kPageSize;

constexpr size_t kRam = 32 << 20;
constexpr Gpa kRoot{0x10'0000};    // init_top_pgt would lie in the image; the simulator's is the first table
constexpr Gpa kHeap{0x20'0000};    // tasks, page tables and user pages, behind the direct map's window
constexpr Gpa kImage{0x100'0000};  // physical home of the kernel image
constexpr Gva kText{0xffffffff81000000};
constexpr Gva kDirectMap{0xffff888000000000};
constexpr Gva kUserArguments{0x7fff'f000'0000};
constexpr uint64_t kLargePage = 2 << 20;
constexpr uint64_t kPresentWritable = 3, kUser = 4, kLarge = 0x80;
constexpr std::string_view kBanner =
    "Linux version 6.1.0-furnace-simulator (furnace@simulator) #1 SMP PREEMPT_DYNAMIC";

// Where things lie in the image.
constexpr uint64_t kBannerOffset = 0x20'0000, kInitTask = 0x30'0000, kKernelVariable = 0x30'8000;

// The simulated kernel's structures.
constexpr uint32_t kTaskSize = 512, kFlags = 0x2c, kTasks = 0x40, kMm = 0x58, kPid = 0x60, kTgid = 0x64,
                   kParent = 0x70, kCred = 0x80, kComm = 0x88, kStart = 0xa0;
constexpr uint32_t kUid = 4;
constexpr uint32_t kPgd = 0x48, kArgStart = 0x50, kArgEnd = 0x58, kExeFile = 0x60;
constexpr uint32_t kPfKthread = 0x00200000;

std::vector<std::byte> types() {
  guest::BtfBuilder btf;
  const uint32_t u32 = btf.add_int("unsigned int", 4);
  const uint32_t u64 = btf.add_int("unsigned long", 8);
  const uint32_t list = btf.add_struct("list_head", 16, {{"next", u64, 0}, {"prev", u64, 8}});
  const uint32_t kuid = btf.add_struct("kuid_t", 4, {{"val", u32, 0}});
  const uint32_t path = btf.add_struct("path", 16, {{"mnt", u64, 0}, {"dentry", u64, 8}});
  const uint32_t name = btf.add_struct("qstr", 16, {{"hash_len", u64, 0}, {"name", u64, 8}});
  const uint32_t vfsmount = btf.add_struct("vfsmount", 32, {{"mnt_root", u64, 0}, {"mnt_sb", u64, 8}});
  const uint32_t ids = btf.add_struct("", 8, {{"pid", u32, 0}, {"tgid", u32, 4}});
  btf.add_struct("task_struct", kTaskSize,
                 {{"flags", u32, kFlags},
                  {"tasks", list, kTasks},
                  {"mm", u64, kMm},
                  {"", ids, kPid},
                  {"real_parent", u64, kParent},
                  {"real_cred", u64, kCred},
                  {"cred", u64, kCred},
                  {"comm", u64, kComm},
                  {"start_boottime", u64, kStart}});
  btf.add_struct("cred", 64, {{"usage", u32, 0}, {"uid", kuid, kUid}});
  btf.add_struct("mm_struct", 256,
                 {{"pgd", u64, kPgd},
                  {"arg_start", u64, kArgStart},
                  {"arg_end", u64, kArgEnd},
                  {"exe_file", u64, kExeFile}});
  btf.add_struct("file", 64, {{"f_path", path, 16}});
  btf.add_struct("dentry", 128, {{"d_parent", u64, 24}, {"d_name", name, 32}});
  btf.add_struct("mount", 128, {{"mnt_parent", u64, 16}, {"mnt_mountpoint", u64, 24}, {"mnt", vfsmount, 32}});
  return btf.build();
}

/// Lays the guest out in memory.
class Builder {
 public:
  explicit Builder(SimulatedMemory& memory) : memory_(memory) {}

  Gpa allocate(uint64_t bytes) {
    const Gpa at = next_;
    next_ = next_ + (bytes + kPageSize - 1) / kPageSize * kPageSize;
    return at;
  }

  /// Maps one page, making tables as needed. `leaf_level` 2 is a 2M page, 1 a 4K page.
  void map(Gpa root, Gva gva, Gpa gpa, int leaf_level, uint64_t flags) {
    Gpa table = root;
    for (int level = 4; level > leaf_level; --level) {
      const Gpa entry = slot(table, gva, level);
      uint64_t value = memory_.read<uint64_t>(entry).value_or(0);
      if (value == 0) memory_.put(entry, value = allocate(kPageSize).value | kPresentWritable | kUser);
      table = {value & ~(kPageSize - 1)};
    }
    memory_.put(slot(table, gva, leaf_level),
                gpa.value | flags | kPresentWritable | (leaf_level == 2 ? kLarge : 0));
  }

  void map_kernel(Gpa root) {
    for (uint64_t at = 0; at < kRam; at += kLargePage) map(root, kDirectMap + at, Gpa{at}, 2, 0);
    for (uint64_t at = 0; at < kLargePage * 2; at += kLargePage) map(root, kText + at, kImage + at, 2, 0);
  }

  void write_task(Gpa at, const SimulatedTask& task, Gva parent, uint64_t mm, uint64_t start_ns) {
    const Gpa cred = allocate(kPageSize);
    memory_.put(cred + kUid, task.uid);
    memory_.put(at + kFlags, task.kernel_thread ? kPfKthread : 0U);
    memory_.put(at + kMm, mm);
    memory_.put(at + kPid, task.pid);
    memory_.put(at + kTgid, task.pid);
    memory_.put(at + kParent, parent.value);
    memory_.put(at + kCred, (kDirectMap + cred.value).value);
    memory_.put(at + kStart, start_ns);
    (void)memory_.write(at + kComm, as_bytes(std::string_view(task.name).substr(0, 15)));
  }

  /// An address space with the command line in it; returns the mm_struct's address.
  uint64_t write_mm(const SimulatedTask& task) {
    if (task.kernel_thread) return 0;
    const Gpa root = allocate(kPageSize);
    map_kernel(root);
    const Gpa page = allocate(kPageSize);
    map(root, kUserArguments, page, 1, kUser);
    const std::string_view arguments = std::string_view(task.command_line).substr(0, kPageSize - 1);
    (void)memory_.write(page, as_bytes(arguments));
    const Gpa mm = allocate(kPageSize);
    memory_.put(mm + kPgd, (kDirectMap + root.value).value);
    memory_.put(mm + kArgStart, kUserArguments.value);
    memory_.put(mm + kArgEnd, kUserArguments.value + arguments.size() + (arguments.empty() ? 0 : 1));
    return (kDirectMap + mm.value).value;
  }

 private:
  static Gpa slot(Gpa table, Gva gva, int level) {
    return table + ((gva.value >> (12 + 9 * (level - 1))) & 0x1ff) * 8;
  }

  SimulatedMemory& memory_;
  Gpa next_ = kHeap;
};

}  // namespace

std::vector<SimulatedTask> default_tasks() {
  using namespace std::string_literals;
  return {
      {1, 0, 0, "init", false, "/sbin/init\0splash"s},
      {2, 0, 0, "kthreadd", true, ""},
      {3, 2, 0, "rcu_gp", true, ""},
      {14, 2, 0, "ksoftirqd/0", true, ""},
      {211, 1, 0, "sshd", false, "/usr/sbin/sshd\0-D"s},
      {305, 1, 33, "nginx", false, "nginx: worker process"},
      {306, 211, 1000, "bash", false, "-bash"},
      {307, 306, 1000, "vim", false, "vim\0notes.txt"s},
  };
}

SimulatedMemory::SimulatedMemory(size_t bytes) : bytes_(bytes), ranges_{{Gpa{0}, Gpa{bytes}}} {}

size_t SimulatedMemory::read(Gpa from, std::span<std::byte> out) const {
  if (from.value >= bytes_.size()) return 0;
  const size_t size = std::min<uint64_t>(out.size(), bytes_.size() - from.value);
  std::copy_n(bytes_.begin() + static_cast<ptrdiff_t>(from.value), size, out.begin());
  return size;
}

size_t SimulatedMemory::write(Gpa to, std::span<const std::byte> data) {
  if (to.value >= bytes_.size()) return 0;
  const size_t size = std::min<uint64_t>(data.size(), bytes_.size() - to.value);
  std::copy_n(data.begin(), size, bytes_.begin() + static_cast<ptrdiff_t>(to.value));
  return size;
}

Simulator::Simulator(std::string name) : name_(std::move(name)), memory_(kRam) {}

Result<std::unique_ptr<Simulator>> Simulator::make(std::string name,
                                                   const std::vector<SimulatedTask>& tasks) {
  std::unique_ptr<Simulator> simulator(new Simulator(std::move(name)));
  FURNACE_CHECK(simulator->build(tasks));
  return simulator;
}

Status Simulator::build(const std::vector<SimulatedTask>& tasks) {
  constexpr size_t max_tasks = 200;  // each takes up to 9 pages of the 14 MB in front of the image
  if (tasks.size() > max_tasks)
    return fail(Errc::Invalid, "simulator: {} tasks, at most {}", tasks.size(), max_tasks);
  Builder builder(memory_);
  builder.map_kernel(kRoot);
  (void)memory_.write(kImage + kBannerOffset, as_bytes(std::string(kBanner) + "\n"));
  memory_.put(kImage + kKernelVariable, uint64_t{0x1122334455667788});

  std::map<int32_t, Gva> addresses{{0, kText + kInitTask}};
  std::vector<Gpa> places{kImage + kInitTask};
  for (const SimulatedTask& task : tasks) {
    places.push_back(builder.allocate(kTaskSize));
    addresses[task.pid] = kDirectMap + places.back().value;
  }
  builder.write_task(places[0], {0, 0, 0, "swapper/0", true, ""}, addresses[0], 0, 0);
  const auto address = [&](size_t i) { return i == 0 ? addresses[0] : kDirectMap + places[i].value; };
  for (size_t i = 0; i < places.size(); ++i) {
    if (i != 0) {
      const SimulatedTask& task = tasks[i - 1];
      const auto parent = addresses.find(task.ppid);
      if (parent == addresses.end())
        return fail(Errc::Invalid, "simulator: task {} has parent {}, which does not exist", task.pid,
                    task.ppid);
      builder.write_task(places[i], task, parent->second, builder.write_mm(task), i * 1'000'000'000ULL);
    }
    memory_.put(places[i] + kTasks, (address((i + 1) % places.size()) + kTasks).value);
    memory_.put(places[i] + kTasks + 8, (address((i + places.size() - 1) % places.size()) + kTasks).value);
  }

  guest::ProfileBuilder profile;
  profile.set_banner(kBanner);
  profile.set_types(types());
  profile.add_symbol("_text", {0, true});
  profile.add_symbol("linux_banner", {kBannerOffset, true});
  profile.add_symbol("init_task", {kInitTask, true});
  profile.add_symbol("furnace_variable", {kKernelVariable, true});
  FURNACE_TRY(auto built, profile.build());
  kernel_.emplace(std::move(built), guest::Placement{kText, kImage, {kRoot, 4}});
  return {};
}

uint64_t Simulator::memory_size() const {
  return kRam;
}

Result<std::optional<Registers>> Simulator::registers(uint32_t vcpu) {
  if (vcpu != 0) return fail(Errc::Invalid, "vCPU {} of 1", vcpu);
  Registers registers;
  registers.set("rip", kText.value);
  registers.set("rsp", kText.value + kInitTask);
  registers.set("cr0", 0x80050033);
  registers.set("cr3", kRoot.value);
  registers.set("cr4", 0x20);
  registers.set("efer", 0xd01);
  return registers;
}

Status Simulator::pause() {
  state_ = RunState::Paused;
  return {};
}

Status Simulator::resume() {
  state_ = RunState::Running;
  return {};
}

}  // namespace furnace::hypervisor
