// The simulated guest's content: tasks, files, modules and tables as Linux lays them out, and changes to
// them.
#pragma once

#include <map>
#include <random>
#include <string>
#include <string_view>

#include "base/result.h"
#include "guest/kernel.h"
#include "hypervisor/simulator/address_map.h"
#include "hypervisor/simulator/description.h"

namespace furnace::hypervisor {

class World {
 public:
  /// Lays out what `description` says. The error names what does not fit.
  [[nodiscard]] static Result<std::unique_ptr<World>> make(const SimulatedGuest& description);

  /// Changes the guest. The error names what the change refers to and is not there.
  [[nodiscard]] Status apply(const Change& change);

  /// Makes `pid` the task that runs on a vCPU. Returns the root of its page table; pid 0 is the idle task.
  [[nodiscard]] Result<guest::Gpa> switch_to(uint32_t vcpu, int32_t pid);

  [[nodiscard]] Result<guest::Gva> task_address(int32_t pid);
  /// Gives a task another user; returns the one it had.
  [[nodiscard]] Result<uint32_t> change_user(int32_t pid, uint32_t uid);

  [[nodiscard]] SimulatedMemory& memory() { return memory_; }
  [[nodiscard]] const guest::Kernel& kernel() const { return *kernel_; }
  /// Where a symbol is; the error names it.
  [[nodiscard]] Result<guest::Gva> symbol(std::string_view name) const { return kernel_->symbol(name); }
  /// Where an address of a process is in RAM.
  [[nodiscard]] Result<guest::Gpa> translate(int32_t pid, guest::Gva gva) const;

 private:
  using Gva = guest::Gva;
  using Gpa = guest::Gpa;
  struct Task {
    SimulatedTask description;
    Gva address{};
    Gva pid{};  ///< its struct pid
    Gva mm{};
    Gpa root{};
  };
  struct Module {
    SimulatedModule description;
    Gva address{};
  };

  static constexpr Gva kArguments{0x7fff'f000'0000};  ///< where a process has its command line

  explicit World(const SimulatedGuest& description);
  Status build();
  Status build_image();
  Status add_task(const SimulatedTask& description);
  Status remove_task(int32_t pid);
  Status add_module(const SimulatedModule& description);
  Status make_hostile();

  [[nodiscard]] Result<Gva> make_mm(const SimulatedTask& task, Gpa& root);
  [[nodiscard]] Result<Gva> make_files(const SimulatedTask& task);
  [[nodiscard]] Result<Gva> make_file(std::string_view path);
  [[nodiscard]] Result<Gva> make_socket(const SimulatedSocket& socket);
  [[nodiscard]] Result<Gva> dentry_of(std::string_view path);
  [[nodiscard]] Result<Gva> make_dentry(std::string_view name, Gva parent, uint16_t mode);
  [[nodiscard]] Result<Gva> make_text(std::string_view text);
  [[nodiscard]] Result<Gva> make_object(std::string_view structure);
  [[nodiscard]] Result<Gva> allocate(uint64_t bytes);
  void link_tasks();
  void link_modules();
  Status index_pids();
  [[nodiscard]] Result<Gva> make_node(uint64_t first, int shift);

  /// A member's address, by the structure's types.
  [[nodiscard]] Gva at(std::string_view structure, std::string_view member, Gva object) const;
  void set(std::string_view structure, std::string_view member, Gva object, uint64_t value);
  void set_text(std::string_view structure, std::string_view member, Gva object, std::string_view text);
  void put(Gva to, uint64_t value) { memory_.put(map_.physical(to), value); }
  void link_list(const std::vector<Gva>& nodes);
  [[nodiscard]] Result<Task*> find(int32_t pid);

  SimulatedGuest guest_;
  std::mt19937_64 random_;
  SimulatedMemory memory_;
  AddressMap map_;
  std::optional<guest::Kernel> kernel_;
  std::map<int32_t, Task> tasks_;
  std::vector<Module> modules_;
  std::map<std::string, Gva, std::less<>> dentries_;
  Gva root_mount_{};
  Gva vfsmount_{};
  Gva socket_names_{};      // the dentry_operations of sockets
  std::vector<Gva> nodes_;  // of the table of pids
  uint64_t next_start_ns_ = 0;
};

}  // namespace furnace::hypervisor
