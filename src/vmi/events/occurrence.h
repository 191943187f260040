// What happened in the guest: an event of the driver, read as what an app asked for.
#pragma once

#include <map>
#include <optional>
#include <set>
#include <string>

#include "vmi/events/event_types.h"
#include "vmi/machine.h"

namespace furnace::vmi {

struct Occurrence {
  uint32_t vcpu = 0;
  /// Of the vCPU; those of user space for system calls.
  hypervisor::Registers registers;
  std::optional<guest::Process> process;  ///< the one that ran
  int32_t thread = 0;
  // F_EPT
  guest::Gva address;
  uint8_t access = 0;
  std::optional<uint64_t> old_value, new_value;
  // F_REG
  std::optional<uint64_t> old_cr3;
  // F_SYSCALL
  struct Argument {
    std::string_view name;
    uint64_t value;
    std::string path;
  };
  std::optional<uint32_t> syscall;
  bool is_return = false;
  int64_t return_value = 0;
  std::vector<Argument> arguments;
  // what it was about, if that is not the process that ran
  std::optional<guest::Process> subject;
  std::string text;
  // F_CREDENTIALS
  struct Credentials {
    uint32_t uid = 0, euid = 0;
    uint64_t capabilities = 0;
    auto operator<=>(const Credentials&) const = default;
  };
  std::optional<std::pair<Credentials, Credentials>> credentials;  ///< before, after
  std::optional<int32_t> exit_status;
  std::optional<hypervisor::KernelEvent> known;  ///< what the driver says of it
};

/// How an event of the driver came to be.
struct Seen {
  guest::Trace trace = guest::Trace::AddressSpaceSwitch;
  bool at_instruction = false;  ///< a breakpoint; else a watched write
  bool by_driver = false;       ///< the driver knows the kind itself: nothing is left to be found out
};

/// Reads events while their vCPUs stand.
class Interpreter {
 public:
  explicit Interpreter(Machine& machine) : machine_(machine) {}

  /// What an event shows of itself, and of the process that runs on its vCPU.
  [[nodiscard]] Occurrence begin(const hypervisor::GuestEvent& event) const;
  /// Finds out the rest. False: it is none after all (a thread, not a process; a credential set that is the
  /// same). The error says what the kernel's structures lack.
  [[nodiscard]] Result<bool> complete(const Seen& seen, Occurrence& occurrence);
  /// Names and paths of a system call's arguments.
  void name_arguments(Occurrence& occurrence) const;

  /// The guest was reset.
  void forget() { roots_.clear(), in_syscall_.clear(), ended_.clear(); }

 private:
  static void take_over(const hypervisor::KernelEvent& known, const guest::LinuxGuest& guest,
                        Occurrence& occurrence);
  [[nodiscard]] static Result<bool> complete_known(guest::Trace trace, Occurrence& occurrence);
  /// The kernel that runs while an event is read.
  struct Running {
    const guest::Kernel& kernel;
    const guest::LinuxGuest& guest;
  };
  using Reader = Result<bool> (Interpreter::*)(const Running&, const Seen&, Occurrence&);
  [[nodiscard]] Result<bool> address_space_switch(const Running& running, const Seen& seen,
                                                  Occurrence& occurrence);
  [[nodiscard]] Result<bool> syscall_entry(const Running& running, const Seen& seen, Occurrence& occurrence);
  [[nodiscard]] Result<bool> syscall_return(const Running& running, const Seen& seen, Occurrence& occurrence);
  [[nodiscard]] Result<bool> process_created(const Running& running, const Seen& seen,
                                             Occurrence& occurrence);
  [[nodiscard]] Result<bool> process_executed(const Running& running, const Seen& seen,
                                              Occurrence& occurrence);
  [[nodiscard]] Result<bool> process_exited(const Running& running, const Seen& seen, Occurrence& occurrence);
  [[nodiscard]] Result<bool> credentials_changed(const Running& running, const Seen& seen,
                                                 Occurrence& occurrence);
  [[nodiscard]] Result<bool> module_loaded(const Running& running, const Seen& seen, Occurrence& occurrence);

  Machine& machine_;
  std::map<uint32_t, uint64_t> roots_;            ///< the CR3 last seen on each vCPU
  std::set<std::pair<int32_t, uint64_t>> ended_;  ///< pid and start of processes whose end was seen
  std::map<int32_t, uint32_t> in_syscall_;        ///< by thread: the system call it is in
};

}  // namespace furnace::vmi
